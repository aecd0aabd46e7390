import { Type, type Static } from '@sinclair/typebox'
import { cursor } from './common.js'

const nocache = Type.Optional(Type.Boolean({
  description: '`true` goes past the cache and refreshes it, as `Cache-Control: no-cache` does', examples: [false]
}))

/** The query string of a cached read. */
export const CachedQuery = Type.Object({ nocache }, { additionalProperties: false })

/** The query string of a cached list. With `limit` or `cursor` it is read page by page, past the cache. */
export const CachedListQuery = Type.Object({
  nocache,
  limit: Type.Optional(Type.Integer({
    minimum: 1, maximum: 1000, description: 'How many to answer at most; without it, up to 1000, from the cache'
  })),
  cursor
}, { additionalProperties: false })

/** What a request may ask of the cache, for the document; services/http-cache reads it. */
export const CachedReadHeaders = Type.Object({
  'if-none-match': Type.Optional(Type.String({ description: 'Answer 304 while the data still has this ETag, wherever it comes from' })),
  'cache-control': Type.Optional(Type.String({
    description: 'RFC 9111: `no-cache` goes past the cache and refreshes it; `no-store` neither reads nor writes it; `max-age`, `min-fresh` and `max-stale` say how old the answer may be; `only-if-cached` is answered from the cache or with 504'
  }))
})

const text = (description: string, example: string) => ({ type: 'string', description, examples: [example] })

/** What the headers of a cached read say. */
export const CACHED_HEADERS = {
  'cache-status': text('What the cache did (RFC 9211): `hit`, or why it went on to the route (`fwd`)', 'larder; hit; ttl=117; key="GET:/api/users/1"'),
  age: { type: 'integer', minimum: 0, description: 'Seconds since the data was loaded; not there where the cache was neither read nor written', examples: [3] },
  etag: text('Of the data, the same as long as that is: for `If-None-Match`, and for `If-Match` of a change', '"5f2c8a1be07d4396a4c1f0d97e3b6a18"'),
  'cache-control': text('How long others may keep a copy', 'no-cache')
} as const

/** A 304, for the document. */
export const NotModified = { description: 'The data still has the ETag in If-None-Match', type: 'null' } as const

/** The same of a cached read. */
export const Unchanged = { ...NotModified, headers: CACHED_HEADERS } as const

/** Where the data of an answer came from. */
export const Source = Type.Unsafe<'cache' | 'database'>({
  $id: 'Source', type: 'string', enum: ['cache', 'database'], description: 'Where the data came from', examples: ['cache']
})
export type Source = Static<typeof Source>

export const responseTime = Type.Number({ minimum: 0, description: 'Seconds that the answer took to make', examples: [0.000042] })

export const CacheAsideStatistics = Type.Object({
  hits: Type.Integer({ description: 'Reads that the cache answered' }),
  misses: Type.Integer({ description: 'Reads that it did not' }),
  hit_rate: Type.Number({ minimum: 0, maximum: 100, description: 'Hits in percent of all reads; 0 before the first' }),
  total_requests: Type.Integer({ description: 'Hits and misses together' }),
  stale: Type.Integer({ description: 'Reads answered with an old value because a new one could not be had' }),
  coalesced: Type.Integer({ description: 'Reads that waited for a load that was under way already: they count as hits neither nor misses' }),
  cached_keys: Type.Integer({ description: 'Entries there are' }),
  memory_usage: Type.Integer({ description: 'Bytes that they take' })
}, {
  $id: 'CacheAsideStatistics',
  additionalProperties: false,
  description: 'What the cache of the sample resources does. Counts are of all processes on the port, since the start.',
  examples: [{ hits: 93, misses: 7, hit_rate: 93, total_requests: 100, stale: 0, coalesced: 2, cached_keys: 7, memory_usage: 4096 }]
})
export type CacheAsideStatistics = Static<typeof CacheAsideStatistics>

export const CacheClearedReply = Type.Object({
  ok: Type.Literal(true),
  message: Type.String(),
  cleared: Type.Integer({ minimum: 0, description: 'Entries that there were' })
}, {
  $id: 'CacheClearedReply',
  additionalProperties: false,
  description: 'What was cleared',
  examples: [{ ok: true, message: 'Cache cleared successfully', cleared: 7 }]
})
export type CacheClearedReply = Static<typeof CacheClearedReply>

export const CachePerformance = Type.Object({
  cached_response_time: Type.Number({ minimum: 0, description: 'Seconds from the cache, the median' }),
  database_response_time: Type.Number({ minimum: 0, description: 'Seconds from the database, the median' }),
  performance_improvement: Type.String({ description: 'How much of the database\'s time the cache saves' }),
  rounds: Type.Integer({ minimum: 1, description: 'Times that each was measured' })
}, {
  $id: 'CachePerformance',
  additionalProperties: false,
  description: 'The product list, read from the database and from the cache in turn',
  examples: [{ cached_response_time: 0.000021, database_response_time: 0.000954, performance_improvement: '97.80%', rounds: 9 }]
})
export type CachePerformance = Static<typeof CachePerformance>
