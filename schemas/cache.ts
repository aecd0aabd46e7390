import { Type, type Static } from '@sinclair/typebox'
import { ref, timestamp } from './common.js'
import { MAX_TTL, MemoryStrategies, NAMESPACE } from './config.js'

const words = <const Words extends readonly string[]>(words: Words, options: { description: string, $id?: string, examples?: string[] }) =>
  Type.Unsafe<Words[number]>({ type: 'string', enum: [...words], ...options })

/** Every backend that the API knows by name; what is built is in the registry (`app.caches`). A new backend is a word here. */
export const BACKENDS = ['memory', 'redis', 'memcached', 'database', 'file'] as const
/** Every strategy that the API knows by name: the policies, and those that keep entries in the durable tier as well. */
export const STRATEGIES = MemoryStrategies
export const DATA_TYPES = ['string', 'json', 'binary', 'number', 'boolean', 'list', 'dictionary'] as const

export const CacheBackend = words(BACKENDS, {
  $id: 'CacheBackend',
  description: 'Where entries are kept: `redis` and `memcached` answer 503 where no server of theirs is set',
  examples: ['memory']
})
export type CacheBackend = Static<typeof CacheBackend>

export const CacheStrategy = words(STRATEGIES, {
  $id: 'CacheStrategy',
  description: 'Which entry goes first when a limit is reached: the least recently used (`lru`), the least often used (`lfu`), the one ' +
    'written first (`fifo`), the one that expires first (`ttl`), or who did not earn to stay by the rules of SIEVE (`sieve`), of S3-FIFO ' +
    '(`s3fifo`), or of the one that does best of W-TinyLFU with several windows, LRU and S3-FIFO (`adaptive`). `write_through` and `write_behind` are for the memory backend, which then evicts as `lru`: they keep the entry in the durable tier as well, before the answer or soon after it, where it is found again after eviction and after a restart.',
  examples: ['lru']
})
export type CacheStrategy = Static<typeof CacheStrategy>

export const CacheDataType = words(DATA_TYPES, {
  $id: 'CacheDataType',
  description: 'What a value is: `binary` is base64 text, `list` an array, `dictionary` an object, `json` anything',
  examples: ['json']
})
export type CacheDataType = Static<typeof CacheDataType>

export { NAMESPACE }
const namespace = Type.Optional(Type.String({
  pattern: NAMESPACE, description: 'Keeps keys, tags and statistics apart; `default` when absent', examples: ['default']
}))
const backend = Type.Optional(words(BACKENDS, { description: 'The backend meant; the default one when absent', examples: ['memory'] }))
const backends = Type.Optional(words([...BACKENDS, '*'], {
  description: 'The backend meant; `*`, or nothing, means all that are configured',
  examples: ['*']
}))
const pattern = Type.String({
  minLength: 1,
  maxLength: 250,
  description: 'A glob over keys: `*` any text, `?` one character, `[abc]` one of these, `\\` makes the next one literal',
  examples: ['user:*']
})
const key = Type.String({
  minLength: 1, description: 'Up to `CACHE_MAX_KEY_LENGTH` (250) bytes of UTF-8 without control characters', examples: ['user:123']
})
const version = Type.String({ description: 'Differs after every write: for `If-Match`, in double quotes', examples: ['1f2q9z4k0c8'] })
const size = Type.Integer({ description: 'Bytes counted against `max_memory`: key, value, metadata and a fixed overhead', examples: [245] })
const ttl = Type.Number({
  minimum: 0,
  maximum: MAX_TTL,
  description: 'Seconds, fractions allowed; 0 never expires; absent means `default_ttl`',
  examples: [3600]
})
const grace = Type.Number({
  minimum: 0,
  maximum: MAX_TTL,
  description: 'Seconds past its TTL for which it is kept as stale: a read with a `lease` gets it while another caller renews it; to any other read it is ' +
    'a miss. A soft invalidation makes it stale sooner, and lets it go no sooner; an entry that never expires has its grace from that on. Fractions allowed; default 0',
  examples: [60]
})
const graceLeft = Type.Optional(Type.Number({ description: 'Seconds past its TTL for which it is kept as stale; absent when it has none', examples: [60] }))
const ttlLeft = Type.Number({ description: 'Seconds left, to the millisecond; 0 when it never expires', examples: [3599.998] })
const success = Type.Literal(true, { description: 'Always true: a failure is a problem' })
const message = Type.String({ description: 'What happened, in words', examples: ['Entry stored'] })
const accessCount = Type.Integer({ description: 'Reads since it was written', examples: [3] })

/** The query string of routes that mean one backend. */
export const CacheQuery = Type.Object({ backend, namespace }, { additionalProperties: false })
export type CacheQuery = Static<typeof CacheQuery>

/** Seconds: no more than a client would wait. */
export const MAX_LEASE = 60

/** The query string of a read. */
export const CacheReadQuery = Type.Object({
  backend,
  namespace,
  lease: Type.Optional(Type.Number({
    minimum: 0.05,
    maximum: MAX_LEASE,
    description: 'Seconds. On a miss the first caller gets a lease for so long to fill the key, the others wait so long for the value. ' +
      'There is one lease among the callers of all processes on `redis`, and where the service has a Redis also on `database` and `memcached`; ' +
      'among those of one process on `memory` and `file`, which several processes cannot share, and without a Redis.',
    examples: [5]
  }))
}, { additionalProperties: false })
export type CacheReadQuery = Static<typeof CacheReadQuery>

/** The path of routes that mean one entry. */
export const CacheKeyParams = Type.Object({
  key: Type.String({ description: 'The key, percent-encoded (`/` as `%2F`)', examples: ['user:123'] })
}, { additionalProperties: false })

/** The conditions of a write, for the document; services/preconditions.ts reads them. */
export const WriteConditions = Type.Object({
  'if-match': Type.Optional(Type.String({
    description: 'Write only over one of these versions: `"version"`, or `*` for any'
  })),
  'if-none-match': Type.Optional(Type.String({ description: '`*`: write only where nothing is' }))
})

/** The condition of a read. */
export const ReadConditions = Type.Object({
  'if-none-match': Type.Optional(Type.String({
    description: 'Answer 304 while the entry is still this version'
  }))
})

/** Free-form but for `tags`. */
export type CacheMetadata = { tags?: string[], [name: string]: unknown }
export const CacheMetadata = Type.Unsafe<CacheMetadata>(Type.Object({
  tags: Type.Optional(Type.Array(Type.String(), {
    maxItems: 64, description: 'Each 1 to 250 bytes without control characters; see invalidate', examples: [['user', 'profile']]
  }))
}, {
  $id: 'CacheMetadata',
  additionalProperties: true,
  description: 'Free-form facts about an entry, up to 16 KiB of JSON; `tags` is the member that the cache itself reads',
  examples: [{ tags: ['user', 'profile'], source: 'database' }]
}))

export const NewCacheEntry = Type.Object({
  key,
  value: Type.Unknown({ description: 'Any JSON that is of the data type' }),
  data_type: Type.Optional(ref(CacheDataType)),
  ttl: Type.Optional(ttl),
  grace: Type.Optional(grace),
  backend,
  strategy: Type.Optional(ref(CacheStrategy)),
  metadata: Type.Optional(ref(CacheMetadata)),
  lease: Type.Optional(Type.String({
    minLength: 1,
    maxLength: 128,
    description: 'The token of a lease of this key: stored only while the lease stands and the key has not changed since, else 409',
    examples: ['17-3fJx9dQ2mLkT0a7B']
  })),
  namespace
}, {
  $id: 'NewCacheEntry',
  additionalProperties: false,
  description: 'An entry to store. Without `data_type`, a string, number or boolean is what it is, and anything else `json`.',
  examples: [{
    key: 'user:123',
    value: { name: 'John Doe', email: 'john@example.com' },
    data_type: 'json',
    ttl: 3600,
    backend: 'memory',
    strategy: 'lru',
    metadata: { tags: ['user', 'profile'], source: 'database' }
  }]
})
export type NewCacheEntry = Static<typeof NewCacheEntry>

/** The example that several schemas show. */
export const storedExample = {
  success: true,
  message: 'Entry stored',
  key: 'user:123',
  size: 245,
  ttl: 3600,
  backend: 'memory',
  strategy: 'lru',
  version: '1f2q9z4k0c8'
}

export const CacheSetReply = Type.Object({
  success,
  message,
  key,
  size,
  ttl: Type.Number({ description: 'Seconds that the entry lives; 0 when it never expires', examples: [3600] }),
  backend: ref(CacheBackend),
  strategy: ref(CacheStrategy),
  version
}, {
  $id: 'CacheSetReply',
  additionalProperties: false,
  description: 'What was stored',
  examples: [storedExample]
})
export type CacheSetReply = Static<typeof CacheSetReply>

/** The example that several schemas show. */
export const itemExample = {
  key: 'user:123',
  value: { name: 'John Doe', email: 'john@example.com' },
  data_type: 'json',
  ttl: 3599.998,
  created_at: '2026-01-31T12:00:00.000Z',
  accessed_at: '2026-01-31T12:00:00.002Z',
  access_count: 1,
  size: 245,
  metadata: { tags: ['user', 'profile'], source: 'database' },
  backend: 'memory',
  strategy: 'lru',
  version: '1f2q9z4k0c8'
}

export const CacheItem = Type.Object({
  key,
  value: Type.Unknown({ description: 'The value, as it was stored' }),
  data_type: ref(CacheDataType),
  ttl: ttlLeft,
  grace: graceLeft,
  created_at: timestamp('When this version was written'),
  accessed_at: timestamp('When it was last read: now'),
  access_count: Type.Integer({ description: 'Reads since it was written, this one included', examples: [1] }),
  size,
  metadata: ref(CacheMetadata),
  backend: ref(CacheBackend),
  strategy: ref(CacheStrategy),
  version
}, { $id: 'CacheItem', additionalProperties: false, description: 'An entry, as it is read', examples: [itemExample] })
export type CacheItem = Static<typeof CacheItem>

export const CacheHit = Type.Object({
  success,
  found: Type.Literal(true),
  stale: Type.Optional(Type.Literal(true, { description: 'It is past its TTL, or softly invalidated, and another caller has the lease to renew it' })),
  cache_item: ref(CacheItem)
}, {
  $id: 'CacheHit',
  additionalProperties: false,
  description: 'The entry is there',
  examples: [{ success: true, found: true, cache_item: itemExample }]
})

export const CacheLease = Type.Object({
  token: Type.String({ description: 'What to send as `lease` when the value is stored', examples: ['17-3fJx9dQ2mLkT0a7B'] }),
  expires_in: Type.Number({ description: 'Seconds until the next caller gets the lease', examples: [5] })
}, {
  $id: 'CacheLease',
  additionalProperties: false,
  description: 'The right to fill a key, which one caller has at a time',
  examples: [{ token: '17-3fJx9dQ2mLkT0a7B', expires_in: 5 }]
})

export const CacheMiss = Type.Object({
  success,
  found: Type.Literal(false),
  key,
  message,
  lease: Type.Optional(ref(CacheLease))
}, {
  $id: 'CacheMiss',
  additionalProperties: false,
  description: 'There is no such entry. With a `lease`, it is the caller\'s to compute the value and to store it',
  examples: [{ success: true, found: false, key: 'user:789', message: 'No such entry' }]
})

export const CacheGetReply = Type.Union([ref(CacheHit), ref(CacheMiss)], {
  $id: 'CacheGetReply',
  description: 'A hit, or a miss: both with status 200',
  examples: [{ success: true, found: true, cache_item: itemExample }]
})
export type CacheGetReply = Static<typeof CacheGetReply>

export const CacheDeleteReply = Type.Object({
  success,
  found: Type.Boolean({ description: 'Whether there was something to delete' }),
  message,
  key
}, {
  $id: 'CacheDeleteReply',
  additionalProperties: false,
  description: 'What was deleted',
  examples: [{ success: true, found: true, message: 'Entry deleted', key: 'user:123' }]
})

export const CacheExistsReply = Type.Object({
  success,
  exists: Type.Boolean(),
  key
}, {
  $id: 'CacheExistsReply',
  additionalProperties: false,
  description: 'Whether the entry is there',
  examples: [{ success: true, exists: true, key: 'user:123' }]
})

export const CacheTouch = Type.Object({
  key,
  ttl: Type.Number({ minimum: 0, maximum: MAX_TTL, description: 'Seconds from now, fractions allowed; 0 never expires', examples: [600] }),
  backend,
  namespace
}, { $id: 'CacheTouch', additionalProperties: false, description: 'A new TTL for an entry', examples: [{ key: 'user:123', ttl: 600 }] })

export const CacheTouchReply = Type.Object({
  success,
  found: Type.Boolean({ description: 'Whether the entry is there' }),
  message,
  key,
  ttl: Type.Number({ description: 'The TTL asked for', examples: [600] })
}, {
  $id: 'CacheTouchReply',
  additionalProperties: false,
  description: 'The TTL that the entry has now',
  examples: [{ success: true, found: true, message: 'TTL set', key: 'user:123', ttl: 600 }]
})
export type CacheTouchReply = Static<typeof CacheTouchReply>

export const CacheIncrement = Type.Object({
  key,
  by: Type.Optional(Type.Number({
    default: 1,
    minimum: -Number.MAX_VALUE,
    maximum: Number.MAX_VALUE,
    description: 'What to add; negative counts down',
    examples: [1]
  })),
  ttl: Type.Optional(Type.Number({
    minimum: 0,
    maximum: MAX_TTL,
    description: 'Seconds that the counter lives from now; absent keeps what it has, and gives a new one `default_ttl`',
    examples: [3600]
  })),
  backend,
  namespace
}, {
  $id: 'CacheIncrement',
  additionalProperties: false,
  description: 'What to add to a counter; an absent one starts at 0',
  examples: [{ key: 'visits', by: 1 }]
})

export const CacheIncrementReply = Type.Object({
  success,
  message,
  key,
  value: Type.Number({ description: 'The counter after the addition', examples: [42] }),
  ttl: ttlLeft,
  version
}, {
  $id: 'CacheIncrementReply',
  additionalProperties: false,
  description: 'The counter after the addition',
  examples: [{ success: true, message: 'Counter incremented', key: 'visits', value: 42, ttl: 3600, version: '1f2q9z4k0c8' }]
})

/** Parts that schemas/cache-batches.ts and schemas/cache-administration.ts share with these. */
export const parts = { accessCount, backend, backends, grace, graceLeft, key, message, namespace, pattern, size, success, ttl, ttlLeft, version, words }
