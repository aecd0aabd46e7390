import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { EncodedValue } from '../services/cache/entry.js'
import type { Reading } from '../services/cache/reading.js'
import type { PageRequest } from '../services/page.js'
import { entityTag, isNotModified } from '../services/preconditions.js'
import { structuredString } from '../services/structured-string.js'

export { structuredString }

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
   */
  load: (page: PageRequest) => Promise<T>
  /** The other members, as JSON text without braces: before the data, and after it. They are not part of the ETag. */
  telemetry?: (fromCache: boolean) => { before?: string, after?: string }
}

/** Seconds past its TTL during which a value is served while loading a new one fails. */
export const GRACE = 60
/** Milliseconds that a load may take; the database's own limits are shorter. */
const LOAD_TIMEOUT = 10_000

/** A fault of the service; "there is no such product" is an answer, which no old value may hide. */
const isOutage = (error: unknown): boolean => !((error as { statusCode?: number }).statusCode as number < 500)

const NO_STORE = /(?:^|,)\s*no-store\s*(?:,|$)/i
const NO_CACHE = /(?:^|,)\s*no-cache\s*(?:,|$)/i

type CachedQuery = PageRequest & { nocache?: boolean }

/**
 * Cache-aside for GET routes: Cache-Status (RFC 9211), Age, ETag and 304; `?nocache=true` and `Cache-Control: no-cache` go past
 * the cache and refresh it, `no-store` neither reads nor writes it. Registered inside the module of the routes that use it.
 */
export default fp(async function cacheAside (app) {
  const { cache } = app
  app.decorateReply('cacheAside', function cacheAside<T extends object> (this: FastifyReply, read: CachedRead<T>) {
    const directives = this.request.headers['cache-control']
    const { nocache, limit, cursor } = this.request.query as CachedQuery
    const isPage = limit !== undefined || cursor !== undefined
    if (isPage || (directives !== undefined && NO_STORE.test(directives))) return sendPast(this, read, { limit, cursor })
    const refresh = nocache === true || (directives !== undefined && NO_CACHE.test(directives))
    const reading = cache.read(read.key, async () => await read.load({}), {
      ttl: read.ttl,
      tags: read.tags,
      grace: GRACE,
      // Whoever goes past the cache wants no old value instead.
      graceOn: (error) => !refresh && isOutage(error),
      timeout: LOAD_TIMEOUT,
      refresh
    })
    if (!(reading instanceof Promise)) {
      sendReading(this, read, reading)
      return undefined
    }
    return reading.then((reading) => finished(sendReading(this, read, reading)), async (error: unknown) => {
      // What a refresh finds gone must not be served to those who come by the cache.
      if (refresh && !isOutage(error)) await cache.forget(read.key)
      throw error
    })
  })
}, { name: 'cache-aside', fastify: '5.x', dependencies: ['cache'] })

/**
 * What happened to a read, as the `Cache-Status` header says it: `larder; hit; ttl=117; key="all_products"`. A collapsed read
 * waited for the load of another.
 */
export function cacheStatus ({ status, stored, ttl }: Pick<Reading<unknown>, 'status' | 'stored' | 'ttl'>, key: string): string {
  const kept = stored ? '; stored' : ''
  const named = `; key=${structuredString(key)}`
  switch (status) {
    case 'hit':
    case 'stale': return `larder; hit${ttl === Infinity ? '' : `; ttl=${Math.floor(ttl)}`}${named}`
    case 'bypass': return `larder; fwd=bypass${kept}${named}`
    case 'coalesced': return `larder; fwd=miss${kept}; collapsed${named}`
    case 'miss': return `larder; fwd=miss${kept}${named}`
    case 'fallback': return `larder; fwd=miss; detail=fallback${named}`
  }
}

function sendReading<T extends object> (reply: FastifyReply, { key, telemetry }: CachedRead<T>, reading: Reading<T>): FastifyReply {
  reply.header('cache-status', cacheStatus(reading, key))
  reply.header('age', Math.floor(reading.age))
  reply.header('etag', entityTag(reading.version))
  // Whoever keeps a copy asks before it is used: the copy cannot know of a write.
  reply.header('cache-control', 'no-cache')
  const next = nextCursor(reading.encoded)
  if (next !== undefined) reply.header('link', nextLink(reply.request, next))
  const noneMatch = reply.request.headers['if-none-match']
  if (noneMatch !== undefined && isNotModified(noneMatch, reading.version)) return reply.code(304).send()
  reply.header('content-type', 'application/json; charset=utf-8')
  return reply.send(stitch(reading.encoded, telemetry?.(reading.status === 'hit' || reading.status === 'stale')))
}

async function sendPast<T extends object> (reply: FastifyReply, { load, telemetry }: CachedRead<T>, page: PageRequest): Promise<void> {
  const text = JSON.stringify(await load(page))
  reply.header('cache-status', 'larder; fwd=bypass')
  reply.header('cache-control', 'no-cache')
  reply.header('content-type', 'application/json; charset=utf-8')
  const next = nextCursor(text)
  if (next !== undefined) reply.header('link', nextLink(reply.request, next))
  return finished(reply.send(stitch(text, telemetry?.(false))))
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
