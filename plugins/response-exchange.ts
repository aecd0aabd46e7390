import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { LoadTimeoutError } from '../services/cache/errors.js'
import type { StaleUse } from '../services/cache/get-or-set.js'
import type { Content, Reading } from '../services/cache/reading.js'
import { forwardedStatus, type Forwarded, hitStatus, isFromCache, readingStatus } from '../services/http-cache/cache-status.js'
import { cachedFor, isUsable, type Leeway, mayAnswer, notCached, useOfStored, wayOf } from '../services/http-cache/reuse.js'
import { ForerunnerLeftError, isFault, isForAll } from '../services/response-cache/faults.js'
import type { ResponseStore } from '../services/response-cache/response-store.js'
import { decodeResponse, type Head, type StoredResponse } from '../services/response-cache/stored-response.js'
import { Asked } from './response-asked.js'
import type { CachedRoute } from './response-cache.js'
import { Capture, LateAnswerError } from './response-capture.js'
import { Load, signalOf } from './response-load.js'
import { Sending } from './response-sending.js'
import { Variants } from './response-variants.js'

const TIMEOUT = 10_000
/** How often somebody waits anew whose forerunner left before the answer. */
const ATTEMPTS = 3

/** One request to a cached route, on its way to an answer. It is its own options to `Cache.read`, which reads them only where it has to. */
export class Exchange {
  readonly #store: ResponseStore
  readonly #route: CachedRoute
  readonly #server: FastifyInstance
  readonly #reply: FastifyReply
  readonly #asked: Asked
  readonly #sending: Sending
  #why: Forwarded = 'miss'
  #isRefresh = false
  #attempts = 0
  #isAsync = false
  /** This request's own run of the route, and the variants that it stores. */
  #load: Load | undefined
  #variants: Variants | undefined
  #hasStale = false
  /** An answer was given, or is about to be: whatever is still loaded goes to the cache alone. */
  #isAnswered = false

  constructor (
    store: ResponseStore, route: CachedRoute, server: FastifyInstance, request: FastifyRequest, reply: FastifyReply, identify: (request: FastifyRequest) => string
  ) {
    this.#store = store
    this.#route = route
    this.#server = server
    this.#reply = reply
    this.#asked = new Asked(route, request, identify)
    this.#sending = new Sending(route, this.#asked, reply, store.tags)
  }

  /** Synchronous where memory has the response. */
  answer (): unknown {
    const asked = this.#asked
    const way = wayOf(asked.wish, asked.isPast)
    if (way === 'none') throw notCached()
    if (way === 'past') return this.#goPast('bypass')
    if (asked.request.headers.range !== undefined && way !== 'cached-only') return this.#goPast('bypass', 'range')
    asked.nameIt()
    if (way === 'cached-only') return this.#onlyIfCached()
    if (way === 'refresh') this.#refreshBecause('bypass')
    if (this.#store.isApart(asked.apartName)) return this.#goPast('miss')
    return this.#read()
  }

  // The options of `Cache.read`.

  get timeout (): number { return this.#route.timeout ?? TIMEOUT }
  get refresh (): boolean { return this.#isRefresh }
  get tags (): readonly string[] { return this.#asked.tags }

  // Made when they are asked for, which a hit does not: they are called by themselves.
  get graceOn (): (error: unknown) => boolean { return (error) => !this.#isRefresh && isFault(error) }
  get staleUse (): (stale: Content) => StaleUse { return (stale) => this.#useOf(stale) }

  #useOf (stale: Content): StaleUse {
    this.#why = 'stale'
    const head = decodeResponse(stale.value)?.head
    if (head === undefined || head.variants !== undefined || !this.#isFor(head)) return 'never'
    const use = useOfStored(stale, this.#store.cache.now, leewayOf(head), this.#asked.wish, head.age)
    if (use === 'at-once') this.#isAnswered = true
    this.#hasStale = use === 'on-error'
    return use
  }

  /** Whether a response that was made for anybody may answer this request. */
  #isFor (head: Head): boolean { return !this.#asked.isCredentialed || head.isOpen === true }

  #refreshBecause (why: Forwarded): void {
    this.#why = why
    this.#isRefresh = true
  }

  #read (): unknown {
    const reading = this.#store.cache.read(this.#asked.key, async () => {
      this.#variants ??= new Variants(this.#store, this.#asked)
      const load = new Load(this.#reply, {
        store: this.#store,
        route: this.#route,
        server: this.#server,
        asked: this.#asked,
        variants: this.#variants,
        isBackground: this.#isAnswered,
        isRefresh: this.#isRefresh,
        hasStale: this.#hasStale
      })
      if (!this.#isAnswered) this.#load = load
      return await load.run()
    }, this)
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
    const variant = await this.#variants?.settled(brought.stored)
    const reply = this.#reply
    if (reply.sent) return reply
    const load = this.#load
    if (load === undefined) return await this.#found(brought)
    const { capture } = load
    if (brought.status === 'stale') {
      if (!capture.isHeld && load.error === undefined) capture.abandon()
      capture.restore()
      return await this.#found(brought)
    }
    if (capture.isHeld) this.#finish(load, brought, variant)
    return reply
  }

  async #failed (error: unknown): Promise<unknown> {
    const load = this.#load
    await this.#variants?.settled(false)
    if (load === undefined) return await this.#failedForAnother(error)
    const { capture } = load
    this.#store.counts.miss(this.#asked.name)
    if (capture.isHeld) {
      capture.release()
      return this.#reply
    }
    if (load.error === undefined) {
      capture.abandon()
      throw error
    }
    // What a refresh finds gone must not be served to those who come by the cache.
    if (this.#isRefresh && !isFault(load.error)) await this.#store.cache.forget(this.#asked.key)
    throw load.error as Error
  }

  async #failedForAnother (error: unknown): Promise<unknown> {
    if (this.#reply.sent) return this.#reply
    signalOf(this.#reply)?.throwIfAborted()
    if (error instanceof LoadTimeoutError) {
      this.#isAnswered = true
      throw error
    }
    if (error instanceof ForerunnerLeftError || error instanceof LateAnswerError) return ++this.#attempts < ATTEMPTS ? await this.#read() : await this.#goPast('miss')
    if (isForAll(error) && !this.#asked.isCredentialed) throw error
    // What it says is, or may be, about somebody else.
    return await this.#goPast('miss')
  }

  /** A response of the cache, or of another request that this one waited for. */
  #found (reading: Reading<unknown>): unknown {
    const stored = decodeResponse(reading.encoded)
    if (stored === undefined) return this.#goPast(this.#why)
    const { head } = stored
    if (head.variants !== undefined) return this.#readVariant(head.variants)
    if (!this.#isFor(head)) return this.#goPast('bypass', 'credentials')
    const { name, wish } = this.#asked
    const { status, ttl, version } = reading
    const age = reading.age + (head.age ?? 0)
    if (status === 'hit' && !isUsable(age, ttl, wish)) {
      this.#refreshBecause('request')
      return this.#read()
    }
    const { counts } = this.#store
    if (isFromCache(reading)) {
      counts.hit(name)
      if (status === 'stale') counts.stale++
    } else {
      counts.miss(name)
      if (status === 'coalesced') counts.collapsed++
    }
    return this.#send(stored, version, age, readingStatus(reading, name, this.#why))
  }

  #readVariant (names: readonly string[]): unknown {
    // The list itself is no answer: there is one response for each set of values.
    if (this.#asked.variants !== undefined) return this.#goPast('vary-miss')
    this.#asked.varyBy(names)
    if (this.#why === 'miss') this.#why = 'vary-miss'
    return this.#read()
  }

  async #onlyIfCached (): Promise<unknown> {
    this.#isAsync = true
    const { cache, counts } = this.#store
    const asked = this.#asked
    for (;;) {
      const entry = await cachedFor(cache, asked.key, asked.wish)
      const stored = entry === undefined ? undefined : decodeResponse(entry.value)
      if (entry === undefined || stored === undefined) throw notCached()
      const { head } = stored
      if (head.variants !== undefined && asked.variants === undefined) {
        asked.varyBy(head.variants)
        continue
      }
      const { now } = cache
      if (head.variants !== undefined || !this.#isFor(head) || !mayAnswer(entry, now, leewayOf(head), asked.wish, head.age)) throw notCached()
      counts.hit(asked.name)
      if (entry.expiresAt <= now) counts.stale++
      return this.#send(stored, entry.version, (now - entry.createdAt) / 1000 + (head.age ?? 0), hitStatus((entry.expiresAt - now) / 1000, asked.name))
    }
  }

  /** Past the cache: the route answers by itself, for this request alone. */
  async #goPast (why: Forwarded, detail?: string): Promise<unknown> {
    this.#store.counts.bypasses++
    this.#isAnswered = true
    const reply = this.#reply
    const { name, request } = this.#asked
    reply.header('cache-status', forwardedStatus(why, {}, name === '' ? undefined : name, detail))
    this.#sending.control()
    const capture = Capture.of(reply)
    const captured = await capture.run(this.#server, this.#route.handler, request)
    if (captured !== undefined) this.#sending.past(capture, captured)
    return reply
  }

  /** The answer of this request's own run of the route. */
  #finish (load: Load, reading: Reading<unknown>, variant: Reading<unknown> | undefined): void {
    const { counts } = this.#store
    counts.miss(this.#asked.name)
    if (this.#isRefresh) counts.bypasses++
    const { verdict } = load
    const told = { stored: reading.stored && (variant?.stored ?? true), isAway: reading.isAway }
    const status = forwardedStatus(this.#why, told, this.#asked.name, typeof verdict === 'string' && verdict !== 'status' ? verdict : undefined)
    this.#sending.own(load, status)
  }

  /** What is returned: a promise of nothing would be taken for an answer of nothing. */
  #send (stored: StoredResponse, version: string, age: number, status: string): FastifyReply | undefined {
    const held = this.#load?.capture.isHeld === true ? this.#load.capture : undefined
    this.#sending.stored(stored, { version, age, status }, held)
    return this.#isAsync || held !== undefined ? this.#reply : undefined
  }
}

const leewayOf = ({ mustRevalidate = false, staleWhileRevalidate = 0, staleIfError = 0 }: Head): Leeway => ({ mustRevalidate, staleWhileRevalidate, staleIfError })
