import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Entry } from '../services/cache/entry.js'
import { LoadTimeoutError } from '../services/cache/errors.js'
import { Ready, type StaleUse } from '../services/cache/get-or-set.js'
import type { Content, Reading } from '../services/cache/reading.js'
import type { Call } from '../services/database.js'
import { NotCachedError } from '../services/errors.js'
import { entityTag, matchesTag } from '../services/preconditions.js'
import { forwardedStatus, type Forwarded, hitStatus } from '../services/response-cache/cache-status.js'
import { sortedQuery, variantKey } from '../services/response-cache/response-key.js'
import type { ResponseStore } from '../services/response-cache/response-store.js'
import { isUsable, staleUseOf } from '../services/response-cache/reuse.js'
import { decodeResponse, encodeResponse, type Head, NOT_SHARED, type StoredResponse } from '../services/response-cache/stored-response.js'
import { fieldNames, graceFor, judge, type Keeping, type Refusal, textOf } from '../services/response-cache/storing.js'
import { NO_WISH, type Wish, wishOf } from '../services/response-cache/wish.js'
import { groupList } from '../services/structured-string.js'
import type { CachedRoute } from './response-cache.js'
import { Capture, type Captured, LateAnswerError } from './response-capture.js'

const STALE_IF_ERROR = 60
const TIMEOUT = 10_000
/** How often somebody waits anew whose forerunner left before the answer. */
const ATTEMPTS = 3

/** Of one connection or one answer, never of what is stored. */
const NOT_STORED = new Set([
  'age', 'cache-status', 'connection', 'content-length', 'date', 'keep-alive', 'proxy-authenticate', 'proxy-authorization', 'set-cookie', 'te', 'trailer', 'transfer-encoding', 'upgrade'
])
/** Answers but 200 that are for everybody who waits: nothing in them is about the caller. */
const FOR_ALL = new Set([404, 410, 500, 501, 502, 503, 504])

/** The route answered with a fault where an old answer may stand in. */
class FaultAnsweredError extends Error {
  readonly statusCode: number
  constructor (status: number) {
    super(`The route answered ${status}`)
    this.statusCode = status
  }
}

/** Whoever the answer was made for has left, or had no more time, which may be why there is none. It says nothing of the route. */
class ForerunnerLeftError extends Error {}

/** The route threw it for a caller with a credential: it may be about them. */
class FaultOfCallerError extends Error {
  readonly statusCode: number | undefined
  constructor (cause: unknown) {
    super('The route failed for another', { cause })
    this.statusCode = (cause as { statusCode?: number } | null | undefined)?.statusCode
  }
}

/** A fault of the service; "there is none" is an answer, which no old one may hide. */
const isFault = (error: unknown): boolean => !(error instanceof ForerunnerLeftError) && !((error as { statusCode?: number }).statusCode as number < 500)
const isForAll = (error: unknown): boolean => FOR_ALL.has((error as { statusCode?: number }).statusCode ?? 500)

/** One request to a cached route, on its way to an answer. It is its own options to `Cache.read`, which reads them only where it has to. */
export class Exchange {
  readonly #store: ResponseStore
  readonly #route: CachedRoute
  readonly #server: FastifyInstance
  readonly #request: FastifyRequest
  readonly #reply: FastifyReply
  readonly #identify: (request: FastifyRequest) => string
  #wish: Wish = NO_WISH
  #isCredentialed = false
  /** The key as it is told, and what stands in it for the route alone. */
  #name = ''
  #path = ''
  /** Under which this request's response is. */
  #key = ''
  #variants: readonly string[] | undefined
  #why: Forwarded = 'uri-miss'
  #isRefresh = false
  #attempts = 0
  #isAsync = false

  #capture: Capture | undefined
  #captured: Captured | undefined
  #verdict: Keeping | Refusal | undefined
  #error: unknown
  /** The variant that is stored once it is known whether the list of what it varies by is. */
  #pending: { settle: (isListed: boolean) => void, reading: Promise<Reading<unknown> | undefined> } | undefined
  #variant: Reading<unknown> | undefined
  #hasStale = false
  /** An answer was given, or is about to be: whatever is still loaded goes to the cache alone. */
  #isAnswered = false

  constructor (
    store: ResponseStore, route: CachedRoute, server: FastifyInstance, request: FastifyRequest, reply: FastifyReply, identify: (request: FastifyRequest) => string
  ) {
    this.#store = store
    this.#route = route
    this.#server = server
    this.#request = request
    this.#reply = reply
    this.#identify = identify
  }

  /** Synchronous where memory has the response. */
  answer (): unknown {
    const { headers } = this.#request
    const { 'cache-control': cacheControl, pragma } = headers
    if (cacheControl !== undefined || pragma !== undefined) this.#wish = wishOf(cacheControl, pragma)
    const route = this.#route
    this.#isCredentialed = route.for === undefined && (headers.authorization !== undefined || headers['x-api-key'] !== undefined || headers.cookie !== undefined)
    if (this.#wish.noStore) return this.#goPast('bypass')
    if (headers.range !== undefined) return this.#goPast('bypass', 'range')
    this.#nameIt()
    if (this.#wish.onlyIfCached) return this.#onlyIfCached()
    const { nocache } = this.#request.query as { nocache?: unknown }
    if (nocache === true || nocache === 'true') this.#refreshBecause('bypass')
    else if (this.#wish.noCache) this.#refreshBecause('request')
    if (this.#store.isApart(this.#apartName)) return this.#goPast('uri-miss')
    return this.#read()
  }

  // The options of `Cache.read`.

  get timeout (): number { return this.#route.timeout ?? TIMEOUT }
  get refresh (): boolean { return this.#isRefresh }

  get tags (): readonly string[] {
    const { tags } = this.#route
    const own = typeof tags === 'function' ? tags(this.#request) : tags ?? []
    if (this.#key === this.#path) return own
    const names = [...own, this.#path]
    if (this.#name !== this.#path && this.#key !== this.#name) names.push(this.#name)
    return names
  }

  // Made when they are asked for, which a hit does not: they are called by themselves.
  get graceOn (): (error: unknown) => boolean { return (error) => !this.#isRefresh && isFault(error) }
  get staleUse (): (stale: Content) => StaleUse { return (stale) => this.#useOf(stale) }

  #useOf ({ value, createdAt, expiresAt }: Content): StaleUse {
    this.#why = 'stale'
    const head = decodeResponse(value)?.head
    if (head === undefined || head.variants !== undefined || (this.#isCredentialed && head.isOpen !== true)) return 'never'
    const { now } = this.#store.cache
    const keeping = keepingOf(head)
    // Fresh by its time, but while other processes cannot be heard nobody knows whether it still holds: it stands in, and no more.
    const isInDoubt = expiresAt > now
    const use = staleUseOf((now - createdAt) / 1000 + (head.age ?? 0), Math.max(0, now - expiresAt) / 1000, isInDoubt ? { ...keeping, staleWhileRevalidate: 0 } : keeping, isInDoubt ? NO_WISH : this.#wish)
    if (use === 'at-once') this.#isAnswered = true
    this.#hasStale = use === 'on-error'
    return use
  }

  #nameIt (): void {
    const route = this.#route
    const url = this.#request.raw.url as string
    this.#path = route.keys.path(url, this.#request.params)
    if (route.constraints !== '') this.#path += `${route.constraints} ${this.#request.host}`
    this.#name = url.includes('?') ? this.#path + sortedQuery(url) : this.#path
    this.#key = this.#name
    if (route.for === 'caller' || route.vary.length > 0) {
      this.#key = variantKey(this.#name, [...this.#valuesOf(route.vary), route.for === 'caller' ? this.#identify(this.#request) : undefined])
    }
  }

  /** Whether responses are kept may depend on the credential alone. */
  get #apartName (): string { return this.#isCredentialed ? `${this.#key} with a credential` : this.#key }

  #valuesOf (names: readonly string[]): (string | undefined)[] {
    // Two ways to list the same are told apart: what they mean, only the route knows.
    return names.map((name) => textOf(this.#request.headers[name])?.trim().replace(/\s*,\s*/g, ', '))
  }

  #refreshBecause (why: Forwarded): void {
    this.#why = why
    this.#isRefresh = true
  }

  #read (): unknown {
    const reading = this.#store.cache.read(this.#key, async () => await this.#load(), this)
    if (reading instanceof Promise) return this.#later(reading)
    return this.#found(reading)
  }

  async #later (reading: Promise<Reading<unknown>>): Promise<unknown> {
    this.#isAsync = true
    let brought: Reading<unknown>
    try {
      brought = await reading
    } catch (error) {
      return await this.#failed(error)
    }
    this.#variant = await this.#settled(brought.stored)
    if (this.#reply.sent) return this.#reply
    const capture = this.#capture
    if (capture === undefined) return await this.#found(brought)
    if (brought.status === 'stale') {
      if (!capture.isHeld && this.#error === undefined) capture.abandon()
      capture.restore()
      return await this.#found(brought)
    }
    if (!capture.isHeld) return this.#reply
    return this.#finish(brought)
  }

  async #failed (error: unknown): Promise<unknown> {
    const capture = this.#capture
    await this.#settled(false)
    if (capture === undefined) {
      if (this.#reply.sent) return this.#reply
      this.#signal?.throwIfAborted()
      if (error instanceof LoadTimeoutError) {
        this.#isAnswered = true
        throw error
      }
      if (error instanceof ForerunnerLeftError || error instanceof LateAnswerError) return ++this.#attempts < ATTEMPTS ? await this.#read() : await this.#goPast('uri-miss')
      const isOfAnother = this.#isCredentialed || error instanceof FaultAnsweredError || error instanceof FaultOfCallerError
      if (isForAll(error) && !isOfAnother) throw error
      // What it says is, or may be, about somebody else.
      return await this.#goPast('uri-miss')
    }
    this.#store.counts.misses++
    if (capture.isHeld) return this.#release(capture)
    if (this.#error === undefined) {
      capture.abandon()
      throw error
    }
    // What a refresh finds gone must not be served to those who come by the cache.
    if (this.#isRefresh && !isFault(this.#error)) await this.#store.cache.forget(this.#key)
    throw this.#error as Error
  }

  /** A response of the cache, or of another request that this one waited for. */
  #found (reading: Reading<unknown>): unknown {
    const stored = decodeResponse(reading.encoded)
    if (stored === undefined) return this.#goPast(this.#why)
    const { head } = stored
    if (head.variants !== undefined) return this.#readVariant(head.variants)
    if (this.#isCredentialed && head.isOpen !== true) return this.#goPast('bypass', 'credentials')
    const { status, ttl } = reading
    const age = reading.age + (head.age ?? 0)
    if (status === 'hit' && !isUsable(age, ttl, this.#wish)) {
      this.#refreshBecause('request')
      return this.#read()
    }
    const { counts } = this.#store
    if (status === 'hit' || status === 'stale') {
      counts.hit(this.#name)
      if (status === 'stale') counts.stale++
      return this.#send(stored, reading.version, age, hitStatus(ttl, this.#name))
    }
    counts.misses++
    if (status === 'coalesced') counts.collapsed++
    return this.#send(stored, reading.version, age, forwardedStatus(this.#why, reading, this.#name))
  }

  #readVariant (names: readonly string[]): unknown {
    // The list itself is no answer: there is one response for each set of values.
    if (this.#variants !== undefined) return this.#goPast('vary-miss')
    this.#variants = names
    this.#key = this.#variantKey()
    if (this.#why === 'uri-miss') this.#why = 'vary-miss'
    return this.#read()
  }

  #variantKey (): string { return variantKey(this.#base(), [...this.#variants!, ...this.#valuesOf(this.#variants!)]) }

  /** The key before its variants were known. */
  #base (): string {
    const { vary, for: whom } = this.#route
    if (whom !== 'caller' && vary.length === 0) return this.#name
    return variantKey(this.#name, [...this.#valuesOf(vary), whom === 'caller' ? this.#identify(this.#request) : undefined])
  }

  async #onlyIfCached (): Promise<unknown> {
    this.#isAsync = true
    const { cache, counts } = this.#store
    const found = await this.#stored()
    const head = found?.stored.head
    if (found === undefined || head === undefined || (this.#isCredentialed && head.isOpen !== true)) throw new NotCachedError()
    const age = (cache.now - found.entry.createdAt) / 1000 + (head.age ?? 0)
    const ttl = (found.entry.expiresAt - cache.now) / 1000
    if (!isUsable(age, ttl, this.#wish)) throw new NotCachedError()
    counts.hit(this.#name)
    return this.#send(found.stored, found.entry.version, age, hitStatus(ttl, this.#name))
  }

  /** What is fresh, without asking for it to be loaded. */
  async #stored (): Promise<{ entry: Entry, stored: StoredResponse } | undefined> {
    const { cache } = this.#store
    for (;;) {
      const entry = await Promise.resolve(cache.get(cache.namespace, this.#key)).catch(() => undefined)
      const stored = entry === undefined ? undefined : decodeResponse(entry.value)
      if (entry === undefined || stored === undefined) return undefined
      if (stored.head.variants === undefined) return { entry, stored }
      if (this.#variants !== undefined) return undefined
      this.#variants = stored.head.variants
      this.#key = this.#variantKey()
    }
  }

  /** Past the cache: the route answers by itself. */
  #goPast (why: Forwarded, detail?: string): unknown {
    this.#store.counts.bypasses++
    this.#isAnswered = true
    const reply = this.#reply
    reply.header('cache-status', forwardedStatus(why, {}, this.#name === '' ? undefined : this.#name, detail))
    this.#control()
    const result: unknown = this.#route.handler.call(this.#server, this.#request, reply)
    // It answers later, and not through what it returns.
    return result === undefined ? reply : result
  }

  async #load (): Promise<Ready> {
    const isBackground = this.#isAnswered
    const capture = isBackground ? Capture.inBackground(this.#reply) : Capture.of(this.#reply)
    if (!isBackground) this.#capture = capture
    const { cache } = this.#store
    const begun = cache.now
    let captured: Captured | undefined
    try {
      captured = await capture.run(this.#server, this.#route.handler, this.#request)
    } catch (error) {
      if (error instanceof LateAnswerError) throw error
      if (!isBackground) this.#error = error
      if (this.#hasLeft(isBackground)) throw new ForerunnerLeftError('The caller left', { cause: error })
      throw this.#isCredentialed ? new FaultOfCallerError(error) : error
    }
    // A route that answers for itself that it had no time.
    if (captured !== undefined && captured.status !== 200 && this.#hasLeft(isBackground)) {
      throw new ForerunnerLeftError('The caller left')
    }
    return await this.#judged(captured, (cache.now - begun) / 1000, isBackground)
  }

  /** Ends with the caller's own time, and when they leave; undefined where the plugin `deadlines` is not. */
  get #signal (): AbortSignal | undefined { return (this.#reply as { call?: Call }).call?.signal }

  #hasLeft (isBackground: boolean): boolean {
    return this.#request.socket?.destroyed === true || (!isBackground && this.#signal?.aborted === true)
  }

  async #judged (captured: Captured | undefined, delay: number, isBackground: boolean): Promise<Ready> {
    if (captured === undefined) return new Ready(NOT_SHARED, { isKept: false })
    const route = this.#route
    const { status, headers, own, body } = captured
    const { ttl, staleWhileRevalidate = 0, staleIfError = STALE_IF_ERROR } = route
    const lifetime = typeof ttl === 'function' ? ttl(this.#request) : ttl
    const judged = judge(status, { ...headers, vary: varyOf(captured) }, {
      ttl: lifetime === 0 ? Infinity : lifetime, staleWhileRevalidate, staleIfError, isPrivate: route.for === 'caller', isCredentialed: this.#isCredentialed, delay, now: Date.now()
    })
    const verdict = typeof judged === 'object' && body === undefined ? 'not-whole' : judged
    if (!isBackground) {
      this.#captured = captured
      this.#verdict = verdict
    }
    if (typeof verdict === 'string') return await this.#notKept(verdict, captured)
    const kept: Record<string, string | number | string[] | null> = {}
    for (const [name, value] of Object.entries(own)) if (!NOT_STORED.has(name)) kept[name] = value
    const groups = typeof route.tags === 'function' ? route.tags(this.#request) : route.tags ?? []
    if (groups.length > 0) kept['cache-groups'] ??= groupList(groups)
    const { ttl: fresh, vary, ...rest } = verdict
    const response = new Ready(encodeResponse({ status, headers: kept, form: formOf(body), ...rest }, body), { ttl: fresh, grace: graceFor(verdict) })
    const others = vary.filter((name) => !route.vary.includes(name) && this.#variants?.includes(name) !== true)
    if (others.length > 0) return await this.#keepVariant(response, others, isBackground)
    if (this.#base() !== this.#name) await this.#list(this.#name, [], fresh)
    return response
  }

  async #notKept (verdict: Refusal, { status, headers, own, body }: Captured): Promise<Ready> {
    const isForThem = verdict === 'status' && FOR_ALL.has(status)
    if (isForThem && status >= 500 && this.#hasStale) throw new FaultAnsweredError(status)
    if (verdict !== 'status') this.#store.setApart(this.#apartName)
    if (this.#isRefresh && !(status >= 500)) await this.#store.cache.forget(this.#key)
    const isPersonal = this.#isCredentialed || headers['set-cookie'] !== undefined || /\b(?:private|no-store)\b/i.test(textOf(headers['cache-control']) ?? '')
    if (!isForThem || isPersonal || body === undefined) return new Ready(NOT_SHARED, { isKept: false })
    return new Ready(encodeResponse({ status, headers: own, form: formOf(body) }, body), { isKept: false })
  }

  /**
   * A response that varies by headers which were not known to matter. It is stored under a name with their values, and what it varies by
   * under its own. Whatever is invalidated from the start of this load until that list is stored keeps the list out, and the variant with
   * it; the variant's own load has begun by then, and takes over.
   */
  async #keepVariant (response: Ready, others: readonly string[], isBackground: boolean): Promise<Ready> {
    const names = [...this.#variants ?? [], ...others].sort()
    if (this.#variants !== undefined) {
      await this.#list(this.#base(), names, response.ttl, true)
      return new Ready(NOT_SHARED, { isKept: false })
    }
    if (!isBackground) {
      const tags = [...new Set([...this.tags, this.#path, this.#name])]
      this.#variants = names
      await this.#beginVariant(response, tags)
    }
    return listOf(names, response.ttl)
  }

  async #beginVariant (response: Ready, tags: readonly string[]): Promise<void> {
    let settle: (isListed: boolean) => void = () => {}
    const isListed = new Promise<boolean>((resolve) => { settle = resolve })
    let isOwn = false
    await new Promise<void>((resolve) => {
      const reading = Promise.resolve(this.#store.cache.read(this.#variantKey(), async () => {
        isOwn = true
        resolve()
        return await isListed ? response : new Ready(response.encoded, { isKept: false })
      }, { refresh: true, tags })).then((reading) => isOwn ? reading : undefined)
      // Where another is being made under this name, that one is kept.
      reading.then(() => { resolve() }, () => { resolve() })
      this.#pending = { settle, reading }
    })
  }

  async #settled (isListed: boolean): Promise<Reading<unknown> | undefined> {
    const pending = this.#pending
    this.#pending = undefined
    pending?.settle(isListed)
    return await pending?.reading
  }

  /** Keeps what the responses under a name vary by. */
  async #list (key: string, names: readonly string[], ttl: number, refresh = false): Promise<void> {
    const tags = key === this.#path ? [] : [this.#path, this.#name]
    await this.#store.cache.read(key, () => listOf(names, ttl), { refresh, tags, lease: 0 })
  }

  /** The answer of this request's own run of the route. */
  #finish (reading: Reading<unknown>): FastifyReply {
    const capture = this.#capture as Capture
    const { counts } = this.#store
    const reply = this.#reply
    const isMiss = !this.#isRefresh
    counts.misses++
    if (!isMiss) counts.bypasses++
    reply.header('cache-status', forwardedStatus(this.#why, { stored: reading.stored && (this.#variant?.stored ?? true), isAway: reading.isAway }, this.#name, typeof this.#verdict === 'string' && this.#verdict !== 'status' ? this.#verdict : undefined))
    if (typeof this.#verdict !== 'object') {
      if (reply.statusCode === 200) this.#control()
      return this.#release(capture)
    }
    const { headers } = this.#captured as Captured
    const tag = textOf(headers['etag']) ?? entityTag((this.#variant ?? reading).version)
    const { tags } = this.#route
    const groups = typeof tags === 'function' ? tags(this.#request) : tags ?? []
    if (groups.length > 0 && headers['cache-groups'] === undefined) reply.header('cache-groups', groupList(groups))
    this.#describe(tag, this.#verdict.age)
    if (this.#isUnchanged(tag, textOf(headers['last-modified']))) {
      reply.code(304).removeHeader('content-length')
      capture.release(null)
    } else {
      capture.release()
    }
    return reply
  }

  #release (capture: Capture): FastifyReply {
    capture.release()
    return this.#reply
  }

  #send ({ head, body }: StoredResponse, version: string, age: number, status: string): FastifyReply | undefined {
    const reply = this.#reply
    const { headers } = head
    for (const name in headers) {
      const value = headers[name]
      if (value === null) reply.removeHeader(name)
      else reply.header(name, value)
    }
    reply.header('cache-status', status)
    if (head.status !== 200) return this.#give(reply.code(head.status), body)
    const tag = textOf(headers['etag'] ?? undefined) ?? entityTag(version)
    this.#describe(tag, age)
    if (this.#isUnchanged(tag, textOf(headers['last-modified'] ?? undefined))) {
      reply.code(304).removeHeader('content-type').removeHeader('content-length')
      return this.#give(reply, undefined)
    }
    return this.#give(reply, body)
  }

  /** In place of the answer of this request's own run, where that is held back. */
  #give (reply: FastifyReply, body: string | Buffer | undefined): FastifyReply | undefined {
    if (this.#capture?.isHeld === true) {
      this.#capture.release(this.#request.method === 'HEAD' ? null : body)
      return reply
    }
    void reply.send(body)
    // A promise of nothing would be taken for an answer of nothing.
    return this.#isAsync ? reply : undefined
  }

  #describe (tag: string, age: number): void {
    const reply = this.#reply
    reply.header('etag', tag)
    reply.header('age', Math.floor(age))
    this.#control()
  }

  /** What other caches are to know of the answer, where it does not say it. Whoever keeps a copy asks before it is used: the copy cannot know of a write. */
  #control (): void {
    const { vary, for: whom } = this.#route
    if (this.#reply.getHeader('cache-control') === undefined) {
      this.#reply.header('cache-control', whom === 'caller' || this.#isCredentialed ? 'private, no-cache' : 'no-cache')
    }
    if (vary.length === 0) return
    const present = textOf(this.#reply.getHeader('vary'))
    const missing = vary.filter((name) => !fieldNames(present).includes(name))
    if (missing.length > 0) this.#reply.header('vary', [...present === undefined ? [] : [present], ...missing].join(', '))
  }

  /** RFC 9110, section 13.1: `If-Modified-Since` counts only where there is no `If-None-Match`. */
  #isUnchanged (tag: string, lastModified: string | undefined): boolean {
    const { 'if-none-match': noneMatch, 'if-modified-since': since } = this.#request.headers
    if (noneMatch !== undefined) return matchesTag(noneMatch, tag)
    return since !== undefined && lastModified !== undefined && Date.parse(lastModified) <= Date.parse(since)
  }
}

/** What a stored response varies by, in its place. */
function listOf (names: readonly string[], ttl: number): Ready {
  const head: Head = { status: 0, headers: {}, form: 'none', variants: names }
  return new Ready(encodeResponse(head, undefined), { ttl })
}

/** Those that the handler itself named: what hooks add, they add to each answer. */
function varyOf ({ own, headers }: Captured): string | undefined {
  const vary = textOf(own['vary'] ?? undefined)
  return vary === undefined && headers['vary'] === '*' ? '*' : vary
}

function formOf (body: Captured['body']): Head['form'] {
  if (body === undefined) return 'none'
  return 'json' in body ? 'json' : 'text' in body ? 'text' : 'bytes'
}

const keepingOf = ({ mustRevalidate = false, staleWhileRevalidate = 0, staleIfError = 0 }: Head) => ({ mustRevalidate, staleWhileRevalidate, staleIfError })
