import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { CacheBackend, CacheDataType, CacheStrategy, itemExample, NAMESPACE, parts } from './cache.js'
import { cursor, limit, nextCursor, offset, ref, timestamp } from './common.js'
import { RunTimeSettings } from './config.js'

const { accessCount, backend, backends, graceLeft, key, message, namespace, pattern, size, success, ttlLeft, version, words } = parts

const dryRun = Type.Optional(Type.Boolean({ description: 'Drop nothing: only tell what would go', examples: [false] }))

/** The query of clear: all backends when it names none. */
export const ClearQuery = Type.Object({ pattern: Type.Optional(pattern), backend: backends, namespace, dry_run: dryRun }, { additionalProperties: false })

/** The query of invalidate, whose body may say the same. */
export const InvalidateQuery = Type.Object({ backend: backends, namespace, dry_run: dryRun }, { additionalProperties: false })

export const INVALIDATION_MODES = ['hard', 'soft'] as const

const deletedCount = Type.Integer({ minimum: 0, description: 'Entries removed, in all backends meant; 0 of a dry run', examples: [2] })
const patternGiven = Type.Union([Type.String(), Type.Null()], { description: 'The pattern given, or null', examples: ['user:*'] })

const concerned = { backend: 'memory', key: 'user:123', tags: ['user', 'profile'] } as const
export const CacheConcernedEntry = Type.Object({
  backend: ref(CacheBackend),
  key,
  tags: Type.Array(Type.String(), { description: 'The tags it carries', examples: [['user', 'profile']] })
}, { $id: 'CacheConcernedEntry', additionalProperties: false, description: 'An entry that would go, or be stale', examples: [concerned] })

const preview = { would_delete: 1, is_complete: true, sample: [concerned] }
export const CachePreview = Type.Object({
  would_delete: Type.Integer({ minimum: 0, description: 'Entries that would go, in all backends meant, as it is now', examples: [1] }),
  would_be_stale: Type.Optional(Type.Integer({ minimum: 0, description: 'Of a soft invalidation: entries that would be stale, and kept for their grace', examples: [2] })),
  is_complete: Type.Boolean({ description: 'False when there was too much to look at in two seconds: then more may go', examples: [true] }),
  sample: Type.Array(ref(CacheConcernedEntry), { maxItems: 20, description: 'Up to twenty of them' })
}, { $id: 'CachePreview', additionalProperties: false, description: 'What would go, as it is now', examples: [preview] })
export type CachePreview = Static<typeof CachePreview>
const ofDryRun = Type.Optional(ref(CachePreview))

export const CacheClearReply = Type.Object({
  success,
  message,
  deleted_count: deletedCount,
  pattern: patternGiven,
  preview: ofDryRun
}, {
  $id: 'CacheClearReply',
  additionalProperties: false,
  description: 'What was cleared; of a dry run, with the `preview` of what would be',
  examples: [{ success: true, message: '2 entries deleted', deleted_count: 2, pattern: 'user:*' }]
})

export const CacheInvalidation = Type.Object({
  tags: Type.Optional(Type.Array(Type.String(), {
    minItems: 1,
    maxItems: 64,
    description: 'Entries with any of these are meant',
    examples: [['user', 'profile']]
  })),
  pattern: Type.Optional(pattern),
  mode: Type.Optional(words(INVALIDATION_MODES, {
    description: '`hard`, the default: they are gone. `soft`: those with a `grace` are stale, and kept until it is over: so many seconds past their TTL, or, where they never expire, from now; without one they are gone',
    examples: ['hard']
  })),
  backend: backends,
  namespace
}, {
  $id: 'CacheInvalidation',
  additionalProperties: false,
  description: 'What to drop: entries with any of the tags, and entries whose key matches the pattern. At least one of the two.',
  examples: [{ tags: ['user', 'profile'], pattern: 'temp:*' }]
})

export const CacheInvalidateReply = Type.Object({
  success,
  message,
  deleted_count: deletedCount,
  stale_count: Type.Optional(Type.Integer({ minimum: 0, description: 'Of a soft invalidation: entries that were fresh and are stale now, kept for their grace; 0 of a dry run', examples: [2] })),
  tags: Type.Array(Type.String(), { description: 'The tags given' }),
  pattern: patternGiven,
  preview: ofDryRun
}, {
  $id: 'CacheInvalidateReply',
  additionalProperties: false,
  description: 'What was invalidated; of a dry run, with the `preview` of what would be',
  examples: [{ success: true, message: '2 entries invalidated', deleted_count: 2, tags: ['user', 'profile'], pattern: 'temp:*' }]
})

export const KeysQuery = Type.Object({
  pattern: Type.Optional(pattern), limit, offset, cursor, backend, namespace
}, { additionalProperties: false })

const { value: _, backend: __, metadata: ___, accessed_at: lastAccessed, ...shown } = itemExample
const cacheKey = { ...shown, last_accessed: lastAccessed }

export const CacheKey = Type.Object({
  key,
  data_type: ref(CacheDataType),
  size,
  ttl: ttlLeft,
  grace: graceLeft,
  created_at: timestamp('When this version was written'),
  access_count: accessCount,
  last_accessed: timestamp('When it was last read, or written'),
  strategy: ref(CacheStrategy),
  version
}, {
  $id: 'CacheKey',
  additionalProperties: false,
  description: 'An entry without its value',
  examples: [cacheKey]
})
export type CacheKey = Static<typeof CacheKey>

export const CacheKeysReply = Type.Object({
  success,
  total_keys: Type.Integer({ minimum: 0, description: 'Keys that match, on all pages', examples: [1] }),
  limit: Type.Integer({ examples: [100] }),
  offset: Type.Integer({ examples: [0] }),
  keys: Type.Array(ref(CacheKey)),
  next_cursor: nextCursor
}, {
  $id: 'CacheKeysReply',
  additionalProperties: false,
  description: 'A page of keys',
  examples: [{ success: true, total_keys: 1, limit: 100, offset: 0, keys: [cacheKey] }]
})
export type CacheKeysReply = Static<typeof CacheKeysReply>

const percent = (description: string, example: number) => Type.Number({ minimum: 0, maximum: 100, description, examples: [example] })
const count = (description: string, example: number) => Type.Integer({ minimum: 0, description, examples: [example] })
const statistics = {
  total_items: 2,
  total_memory_usage: 490,
  hit_rate: 75,
  miss_rate: 25,
  eviction_count: 0,
  backend: 'memory',
  strategy: 'lru',
  hits: 3,
  misses: 1,
  sets: 2,
  deletes: 0,
  expirations: 0
} as const

export const CacheStatistics = Type.Object({
  total_items: count('Entries', 2),
  total_memory_usage: count('Bytes that they count for', 490),
  hit_rate: percent('Percent of reads that found their entry; 0 before the first', 75),
  miss_rate: percent('Percent of reads that did not; 0 before the first', 25),
  eviction_count: count('Entries removed to stay within a limit', 0),
  backend: ref(CacheBackend),
  strategy: ref(CacheStrategy),
  hits: count('Reads that found their entry', 3),
  misses: count('Reads that did not', 1),
  sets: count('Writes', 2),
  deletes: count('Entries deleted one by one', 0),
  expirations: count('Entries removed because their time was over', 0)
}, {
  $id: 'CacheStatistics',
  additionalProperties: false,
  description: 'What a backend holds, and what happened to it since the start',
  examples: [statistics]
})
export type CacheStatistics = Static<typeof CacheStatistics>

const limitOf = (description: string, example: number) =>
  Type.Union([Type.Integer({ minimum: 1 }), Type.Null()], {
    description: `${description}; null where the backend's own server decides`, examples: [example]
  })
const config = {
  backend: 'memory',
  strategy: 'lru',
  max_memory: 104857600,
  max_items: 10000,
  default_ttl: 3600,
  cleanup_interval: 300,
  compression_enabled: false,
  encryption_enabled: false
} as const

export const CacheConfig = Type.Object({
  backend: ref(CacheBackend),
  strategy: ref(CacheStrategy),
  max_memory: limitOf('Bytes that the entries may take', 104857600),
  max_items: limitOf('Entries that there may be', 10000),
  default_ttl: Type.Number({ description: 'Seconds that an entry lives when its writer names no TTL; 0 is for ever', examples: [3600] }),
  cleanup_interval: Type.Integer({ description: 'Seconds between sweeps for expired entries', examples: [300] }),
  compression_enabled: Type.Boolean({ description: 'Whether values of a kilobyte and more are stored compressed; false for `memory`, whose entries stay in the process', examples: [false] }),
  encryption_enabled: Type.Boolean({ description: 'Whether values, tags and metadata are stored encrypted (AES-256-GCM); false for `memory`', examples: [false] })
}, { $id: 'CacheConfig', additionalProperties: false, description: 'How a backend is set up', examples: [config] })
export type CacheConfig = Static<typeof CacheConfig>

/** The setting's range without its default, which would otherwise be filled in where a body leaves it out. */
function change<S extends TSchema> (setting: S) {
  const schema: S = { ...setting }
  delete schema.default
  return Type.Optional(schema)
}
const settings = RunTimeSettings.properties

// No example: to name one is to ask for a quota.
const owner = Type.Optional(Type.String({ pattern: NAMESPACE, description: 'Whose quota, and whose own settings, are meant; absent: the backend itself' }))

/** The query of the configuration. */
export const ConfigQuery = Type.Object({ backend, namespace: owner }, { additionalProperties: false })

export const CacheQuota = Type.Object({
  max_items: Type.Integer({ minimum: 1, description: 'Entries reserved for the namespace', examples: [1000] }),
  max_memory: Type.Integer({ minimum: 1, description: 'Bytes reserved for the namespace', examples: [10485760] })
}, {
  $id: 'CacheQuota',
  additionalProperties: false,
  description: 'What is reserved for a namespace: nobody else takes it, and the namespace takes no more',
  examples: [{ max_items: 1000, max_memory: 10485760 }]
})
export type CacheQuota = Static<typeof CacheQuota>
const quota = Type.Optional(Type.Union([ref(CacheQuota), Type.Null()], { description: 'Of the namespace asked for; null when it has none' }))

export const CacheConfigChanges = Type.Object({
  backend,
  namespace: owner,
  strategy: Type.Optional(ref(CacheStrategy)),
  max_memory: change(settings['cache.redis.max_memory']),
  max_items: change(settings['cache.redis.max_items']),
  default_ttl: change(settings['cache.memory.default_ttl']),
  cleanup_interval: change(settings['cache.memory.cleanup_interval']),
  compression_enabled: Type.Optional(Type.Boolean({ description: 'For what is written from now on; what was written before stays readable. True for `memory` is answered with 422' })),
  encryption_enabled: Type.Optional(Type.Boolean({ description: 'The same. True without `CACHE_ENCRYPTION_KEY` is answered with 422' }))
}, {
  $id: 'CacheConfigChanges',
  additionalProperties: false,
  description: 'What to change; what is left out stays. `max_memory` and `max_items` of `redis` may be null: then its server alone decides. ' +
    'With a namespace they are its quota, which both being null takes away, and the others but `cleanup_interval` hold for it alone.',
  examples: [config]
})
export type CacheConfigChanges = Static<typeof CacheConfigChanges>

export const CacheConfigReply = Type.Object({
  success,
  config: ref(CacheConfig),
  backends: Type.Record(Type.String({ pattern: NAMESPACE }), ref(CacheConfig), {
    description: 'Every backend that is configured, by its name'
  }),
  namespace,
  quota
}, {
  $id: 'CacheConfigReply',
  additionalProperties: false,
  description: 'How the backend meant, and every other one, is set up',
  examples: [{ success: true, config, backends: { memory: config } }]
})

export const CacheStatisticsReply = Type.Object({
  success,
  statistics: ref(CacheStatistics),
  config: ref(CacheConfig),
  quota,
  raw_stats: Type.Record(Type.String(), Type.Number(), { description: 'Every counter of the engine, under its own name' })
}, {
  $id: 'CacheStatisticsReply',
  additionalProperties: false,
  description: 'Statistics of a backend, or of one namespace in it',
  examples: [{ success: true, statistics, config, raw_stats: { items: 2, bytes: 490, hits: 3, misses: 1 } }]
})
export type CacheStatisticsReply = Static<typeof CacheStatisticsReply>
