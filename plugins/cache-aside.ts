import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Cache } from '../services/cache/cache.js'
import { type Caller, isLeaving } from '../services/cache/caller.js'
import type { EncodedValue } from '../services/cache/entry.js'
import type { StaleUse } from '../services/cache/get-or-set.js'
import type { Content, Reading } from '../services/cache/reading.js'
import { type Forwarded, forwardedStatus, hitStatus, isFromCache, readingStatus } from '../services/http-cache/cache-status.js'
import { isUnchanged } from '../services/http-cache/conditions.js'
import { contentTag, EntityTags } from '../services/http-cache/entity-tags.js'
import { cachedFor, isUsable, mayAnswer, notCached, useOfStored, wayOf } from '../services/http-cache/reuse.js'
import { NO_WISH, type Wish, wishOf } from '../services/http-cache/wish.js'
import type { Call } from '../services/database.js'
import type { PageRequest } from '../services/page.js'
import { isFault } from '../services/response-cache/faults.js'
import type {} from './deadlines.js'

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Answers a read with what the cache has under `key`, or loads it and keeps it. Synchronous when memory has it: a handler
     * returns what this returns.
     */
    cacheAside<T extends object> (read: CachedRead<T>): Promise<void> | undefined
  }
}

/** A read that the cache may answer. */
export interface CachedRead<T extends object> {
  key: string
  /** Seconds; 0 never expires. */
  ttl: number
  tags?: readonly string[]
  /**
   * Makes the members of the answer that are data. They are what is cached, as ready text. Where the query asks for a page of a
   * list (`limit`, `cursor`) it is loaded past the cache: pages are as many as their readers like, and a write changes all of them.
   * @param call ends when nobody waits for them any more
   */
  load: (page: PageRequest, call: Call) => Promise<T>
  /** The other members, as JSON text without braces: before the data, and after it. They are not part of the ETag. */
  telemetry?: (fromCache: boolean) => { before?: string, after?: string }
}

/** Seconds past its TTL during which a value is served while loading a new one fails. */
export const GRACE = 60
const LEEWAY = { mustRevalidate: false, staleWhileRevalidate: 0, staleIfError: GRACE }
/** Milliseconds that a load may take; the database's own limits are shorter. */
const LOAD_TIMEOUT = 10_000

type CachedQuery = PageRequest & { nocache?: boolean }

/**
 * Cache-aside for GET routes: Cache-Status (RFC 9211), Age, an ETag of the data and 304, and what a request may ask of a cache (RFC 9111, section
 * 5.2.1; `?nocache=true` is `no-cache`). Registered inside the module of the routes that use it.
 */
export default fp(async function cacheAside (app) {
  const { cache } = app
  const tags = new EntityTags()
  app.decorateReply('cacheAside', function cacheAside<T extends object> (this: FastifyReply, read: CachedRead<T>) {
    const { 'cache-control': control, pragma } = this.request.headers
    const { nocache, limit, cursor } = this.request.query as CachedQuery
    const wish = control === undefined && pragma === undefined ? NO_WISH : wishOf(control, pragma)
    const isPage = limit !== undefined || cursor !== undefined
    const way = wayOf(wish, nocache === true)
    if (way === 'none' || (isPage && way === 'cached-only')) throw notCached()
    if (isPage || way === 'past') return sendPast(this, read, { limit, cursor })
    const turn = new Turn(cache, tags, this, read, wish)
    if (way === 'cached-only') return turn.takeCached()
    return turn.take(way === 'refresh' ? 'bypass' : undefined)
  })
}, { name: 'cache-aside', fastify: '5.x', dependencies: ['cache'] })

/** One request, on its way to an answer. It is its own options to `Cache.read`, which reads them only where it has to. */
class Turn<T extends object> {
  readonly #cache: Cache
  readonly #tags: EntityTags
  readonly #reply: FastifyReply
  readonly #read: CachedRead<T>
  readonly #wish: Wish
  /** Why it goes past what is cached, and refreshes that. */
  #past: Forwarded | undefined
  #hasStale = false

  constructor (cache: Cache, tags: EntityTags, reply: FastifyReply, read: CachedRead<T>, wish: Wish) {
    this.#cache = cache
    this.#tags = tags
    this.#reply = reply
    this.#read = read
    this.#wish = wish
  }

  // The options of `Cache.read`.

  get ttl (): number { return this.#read.ttl }
  get tags (): readonly string[] | undefined { return this.#read.tags }
  get grace (): number { return GRACE }
  get timeout (): number { return LOAD_TIMEOUT }
  get refresh (): boolean { return this.#past !== undefined }
  get signal (): AbortSignal { return this.#reply.signal }

  // Made when they are asked for, which a hit does not: they are called by themselves. Whoever goes past the cache wants no old value instead.
  get graceOn (): (error: unknown) => boolean { return (error) => this.#past === undefined && isFault(error) }
  get staleUse (): (stale: Content) => StaleUse {
    return (stale) => {
      this.#hasStale = true
      return useOfStored(stale, this.#cache.now, LEEWAY, this.#wish)
    }
  }

  /** Synchronous when memory has it. @param past why it goes past what is cached, and refreshes that */
  take (past?: Forwarded): Promise<void> | undefined {
    this.#past = past
    const { key, load } = this.#read
    const reading = this.#cache.read(key, async (waiting: Caller) => await load({}, { signal: waiting.signal }), this)
    if (!(reading instanceof Promise)) {
      if (!this.#isGoodEnough(reading)) return this.take('request')
      this.#sendReading(reading)
      return undefined
    }
    return reading.then(async (reading) => {
      if (!this.#isGoodEnough(reading)) return await this.take('request')
      return finished(this.#sendReading(reading, past))
    }, async (error: unknown) => {
      // What a refresh finds gone must not be served to those who come by the cache.
      if (past !== undefined && !isFault(error) && !isLeaving(error, this)) await this.#cache.forget(key)
      throw error
    })
  }

  /** From the cache alone. @throws NotCachedError */
  async takeCached (): Promise<void> {
    const { key } = this.#read
    const entry = await cachedFor(this.#cache, key, this.#wish)
    const { now } = this.#cache
    if (entry === undefined || !mayAnswer(entry, now, LEEWAY, this.#wish)) throw notCached()
    const { value, version, createdAt, expiresAt } = entry
    this.#reply.header('cache-status', hitStatus((expiresAt - now) / 1000, key)).header('age', Math.floor(Math.max(0, now - createdAt) / 1000))
    return finished(sendData(this.#reply, this.#read, value, this.#tags.of(key, version, () => contentTag(value)), true))
  }

  #isGoodEnough (reading: Reading<T>): boolean {
    return this.#wish === NO_WISH || reading.status !== 'hit' || isUsable(reading.age, reading.ttl, this.#wish)
  }

  #sendReading (reading: Reading<T>, past?: Forwarded): FastifyReply {
    const { key } = this.#read
    const { encoded, version } = reading
    this.#reply.header('cache-status', readingStatus(reading, key, past ?? (this.#hasStale ? 'stale' : 'miss')))
    this.#reply.header('age', Math.floor(reading.age))
    return sendData(this.#reply, this.#read, encoded, this.#tags.of(key, version, () => contentTag(encoded)), isFromCache(reading))
  }
}

async function sendPast<T extends object> (reply: FastifyReply, read: CachedRead<T>, page: PageRequest): Promise<void> {
  const text = JSON.stringify(await read.load(page, reply.call))
  reply.header('cache-status', forwardedStatus('bypass', {}, undefined))
  return finished(sendData(reply, read, text, contentTag(text), false))
}

function sendData<T extends object> (reply: FastifyReply, { telemetry }: CachedRead<T>, encoded: EncodedValue, tag: string, fromCache: boolean): FastifyReply {
  reply.header('etag', tag)
  // Whoever keeps a copy asks before it is used: the copy cannot know of a write.
  reply.header('cache-control', 'no-cache')
  const next = nextCursor(encoded)
  if (next !== undefined) reply.header('link', nextLink(reply.request, next))
  if (isUnchanged(reply.request.headers, tag)) return reply.code(304).send()
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(stitch(encoded, telemetry?.(fromCache)))
}

/** An async handler that has sent resolves to its reply, which Fastify then waits for. */
const finished = (reply: FastifyReply) => reply as unknown as undefined

/** Puts members around those of an encoded object, which has at least one. */
function stitch (encoded: EncodedValue, { before, after }: { before?: string, after?: string } = {}): EncodedValue {
  if (before === undefined && after === undefined) return encoded
  const head = before === undefined ? '{' : `{${before},`
  const tail = after === undefined ? '}' : `,${after}}`
  if (typeof encoded === 'string') return head + encoded.slice(1, -1) + tail
  return Buffer.concat([Buffer.from(head), encoded.subarray(1, -1), Buffer.from(tail)])
}

/** `next_cursor` of a list, which is its last member: an array comes before it, so that nothing else can end like this. */
function nextCursor (encoded: EncodedValue): string | undefined {
  const end = typeof encoded === 'string' ? encoded.slice(-80) : encoded.toString('latin1', Math.max(0, encoded.length - 80))
  return /\],"next_cursor":"([\w-]+)"\}$/.exec(end)?.[1]
}

/** The address of the page after this one, for the `Link` header (RFC 8288). */
export function nextLink (request: Pick<FastifyRequest, 'url'>, next: string): string {
  const [path = '', query = ''] = request.url.split('?', 2)
  const parameters = new URLSearchParams(query)
  parameters.delete('nocache')
  parameters.set('cursor', next)
  return `<${path}?${parameters.toString()}>; rel="next"`
}
