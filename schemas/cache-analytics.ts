import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { CacheBackend, CacheDataType, CacheStrategy, parts } from './cache.js'
import { limit, ref, timestamp } from './common.js'

const { backend, key, namespace, success } = parts

export const AnalyticsQuery = Type.Object({ backend, namespace, limit }, { additionalProperties: false })

const count = (description: string, example: number) => Type.Integer({ minimum: 0, description, examples: [example] })
const number = (description: string, example: number) => Type.Number({ description, examples: [example] })
const percent = (description: string, example: number) => Type.Number({ minimum: 0, maximum: 100, description, examples: [example] })
const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })
const estimates = {
  items: count('Entries, estimated', 6120),
  items_error: count('The true number is within so many of it in 95 of 100 cases; 0 when every entry was looked at', 83),
  bytes: count('Bytes that they count for, estimated', 2448000),
  bytes_error: count('Likewise', 30120),
  share: percent('Percent of all bytes', 71.4)
}
const estimatesExample = { items: 6120, items_error: 83, bytes: 2448000, bytes_error: 30120, share: 71.4 }

const hotKey = { namespace: 'default', key: 'user:123', accesses: 5120, error: 310, share: 12.5 }
export const CacheHotKey = Type.Object({
  namespace: Type.String({ description: 'The namespace of the key', examples: ['default'] }),
  key,
  accesses: count('Reads of it lately, whether or not they found it, estimated', 5120),
  error: count('The true number is within so many of it in 95 of 100 cases', 310),
  share: percent('Percent of those accesses', 12.5)
}, { $id: 'CacheHotKey', additionalProperties: false, description: 'A key that is read often', examples: [hotKey] })

const hotKeys = { window_seconds: 431.2, accesses: 40960, sampled_accesses: 9240, keys: [hotKey] }
export const CacheHotKeys = Type.Object({
  window_seconds: number('Seconds that the counts cover: the last five to ten minutes', 431.2),
  accesses: count('Reads in that time, of all keys; where one namespace is asked for, of those of its keys that were followed', 40960),
  sampled_accesses: Type.Union([Type.Integer({ minimum: 0 }), Type.Null()], {
    description: 'Of those, the ones that were looked at; null where one namespace is asked for', examples: [9240]
  }),
  keys: Type.Array(ref(CacheHotKey), { description: 'The most read first; `limit` says how many' })
}, {
  $id: 'CacheHotKeys',
  additionalProperties: false,
  description: 'The keys that are read most lately. Little traffic is counted exactly; of more than some 400 reads a second a sample is.',
  examples: [hotKeys]
})

const period = { start: '2026-01-31T12:00:00.000Z', hits: 300, misses: 100, sets: 90, deletes: 2, evictions: 5, hit_rate: 75 }
export const CacheActivityPeriod = Type.Object({
  start: timestamp('When it began'),
  hits: count('Reads that found their entry', 300),
  misses: count('Reads that did not', 100),
  sets: count('Writes', 90),
  deletes: count('Keys deleted one by one', 2),
  evictions: count('Entries that gave way to others', 5),
  hit_rate: orNull(percent('', 75), 'Percent of the reads that found their entry; null when there were none')
}, { $id: 'CacheActivityPeriod', additionalProperties: false, description: 'What happened in a minute, or in an hour', examples: [period] })

const activity = { minutes: [period], hours: [{ ...period, hits: 18000, misses: 6000, sets: 5400 }] }
export const CacheActivity = Type.Object({
  minutes: Type.Array(ref(CacheActivityPeriod), { description: 'The last sixty, oldest first; the last one is still running' }),
  hours: Type.Array(ref(CacheActivityPeriod), { description: 'The last 24, likewise' })
}, {
  $id: 'CacheActivity',
  additionalProperties: false,
  description: 'The access pattern over time, from the start on',
  examples: [activity]
})

const byType = { data_type: 'json', ...estimatesExample } as const
export const CacheTypeShare = Type.Object({ data_type: ref(CacheDataType), ...estimates }, {
  $id: 'CacheTypeShare', additionalProperties: false, description: 'What the entries of a data type take', examples: [byType]
})
const byPrefix = { prefix: 'user', ...estimatesExample }
export const CachePrefixShare = Type.Object({
  prefix: Type.Union([Type.String(), Type.Null()], { description: 'What stands before the first colon of the key; null for keys without one', examples: ['user'] }),
  ...estimates
}, { $id: 'CachePrefixShare', additionalProperties: false, description: 'What the entries with a prefix take', examples: [byPrefix] })
const others = { prefixes: 3, ...estimatesExample, share: 2.1 }
export const CacheOtherPrefixes = Type.Object({ prefixes: count('How many prefixes that are, of those in the sample', 3), ...estimates }, {
  $id: 'CacheOtherPrefixes', additionalProperties: false, description: 'What all other prefixes take', examples: [others]
})

const distribution = {
  sampled: true,
  sample_size: 4096,
  total_items: 10000,
  total_bytes: 3428571,
  complete: true,
  source: 'memory',
  measured_at: '2026-01-31T12:00:00.000Z',
  by_data_type: [byType],
  by_prefix: [byPrefix],
  other_prefixes: others
} as const
export const CacheMemoryDistribution = Type.Object({
  sampled: Type.Boolean({ description: 'Whether this is estimated from a sample; otherwise every entry was looked at', examples: [true] }),
  sample_size: count('Entries looked at', 4096),
  total_items: count('Entries that there are (estimated for a namespace of a large database), or were gone through when not complete', 10000),
  total_bytes: count('Bytes that those count for', 3428571),
  complete: Type.Boolean({ description: 'Whether this stands for all entries; false when a shared backend holds more than could be gone through in a second', examples: [true] }),
  source: parts.words(['memory', 'backend', 'memory_tier'], {
    description: 'What the sample is of: this process\'s memory, the shared backend, or, while that is down, what this process holds of it in memory',
    examples: ['memory']
  }),
  measured_at: timestamp('When the entries were looked at; answers within five seconds share a sample'),
  by_data_type: Type.Array(ref(CacheTypeShare), { description: 'The most bytes first' }),
  by_prefix: Type.Array(ref(CachePrefixShare), { description: 'The most bytes first; `limit` says how many' }),
  other_prefixes: ref(CacheOtherPrefixes)
}, { $id: 'CacheMemoryDistribution', additionalProperties: false, description: 'Memory by data type and by key prefix', examples: [distribution] })

const ttlBucket = { from: 900, to: 3600, as_set: 1200, remaining: 5400 }
export const CacheTtlBucket = Type.Object({
  from: number('Seconds', 900),
  to: Type.Union([Type.Number(), Type.Null()], { description: 'Seconds, exclusive; null when there is no bound', examples: [3600] }),
  as_set: count('Entries whose TTL as it was set is in this range, estimated', 1200),
  remaining: count('Entries that have so much of it left, estimated', 5400)
}, { $id: 'CacheTtlBucket', additionalProperties: false, description: 'Entries by TTL', examples: [ttlBucket] })
const ttls = { never_expires: 120, buckets: [ttlBucket] }
export const CacheTtlDistribution = Type.Object({
  never_expires: count('Entries without an expiry, estimated', 120),
  buckets: Type.Array(ref(CacheTtlBucket), { description: 'From the shortest to the longest' })
}, { $id: 'CacheTtlDistribution', additionalProperties: false, description: 'How long entries live; of the same sample as the memory distribution', examples: [ttls] })

const latency = { p50: 0.0000041, p90: 0.0000063, p95: 0.0000081, p99: 0.000021, max: 0.0042 }
export const CacheLatency = Type.Object({
  p50: number('Half of the operations took no longer', 0.0000041),
  p90: number('90 of 100 took no longer', 0.0000063),
  p95: number('95 of 100', 0.0000081),
  p99: number('99 of 100', 0.000021),
  max: number('The longest', 0.0042)
}, { $id: 'CacheLatency', additionalProperties: false, description: 'Seconds, within 3.2 percent', examples: [latency] })
const operation = { backend: 'memory', operation: 'get', count: 812345, error_count: 0, recent_count: 40960, latency } as const
export const CacheOperationPerformance = Type.Object({
  backend: ref(CacheBackend),
  operation: Type.String({ description: 'What was done', examples: ['get'] }),
  count: count('How often, since the start', 812345),
  error_count: count('How often it failed, since the start', 0),
  recent_count: count('How often lately: what the latency is of', 40960),
  latency: orNull(ref(CacheLatency), 'Null when it was not done lately')
}, { $id: 'CacheOperationPerformance', additionalProperties: false, description: 'How an operation of a backend does', examples: [operation] })
const performance = { window_seconds: 431.2, operations: [operation] }
export const CacheBackendPerformance = Type.Object({
  window_seconds: number('Seconds that the latencies cover: the last five to ten minutes', 431.2),
  operations: Type.Array(ref(CacheOperationPerformance), { description: 'Of the backend asked for, or of all, those that happened' })
}, { $id: 'CacheBackendPerformance', additionalProperties: false, description: 'Latency and errors by backend and operation, in all namespaces', examples: [performance] })

const evictions = { last_minute: 0.5, last_5_minutes: 0.2, last_hour: 0.05 }
export const CacheEvictionRate = Type.Object({
  last_minute: number('Over the last 60 to 70 seconds', 0.5),
  last_5_minutes: number('Over the last 5 to 6 minutes', 0.2),
  last_hour: number('Over the last hour', 0.05)
}, { $id: 'CacheEvictionRate', additionalProperties: false, description: 'Entries a second that gave way to others', examples: [evictions] })

const point = { size_factor: 2, max_items: 20000, max_memory: 209715200, hit_rate: 81.2 }
export const CacheSizePoint = Type.Object({
  size_factor: number('The size as a multiple of the present limits', 2),
  max_items: orNull(count('', 20000), 'Entries that there may be; null for any number'),
  max_memory: orNull(count('', 209715200), 'Bytes that they may take; null for any number'),
  hit_rate: percent('Percent of the reads that would have found their entry, estimated', 81.2)
}, { $id: 'CacheSizePoint', additionalProperties: false, description: 'What the hit rate would be with other limits', examples: [point] })
const whatIf = { strategy: 'lru', actual_hit_rate: 74.8, accesses: 163840, sampled_accesses: 20480, sampled_keys: 4210, sampling_rate: 0.128, points: [point] } as const
export const CacheWhatIf = Type.Object({
  strategy: ref(CacheStrategy),
  actual_hit_rate: percent('What it was in the same time', 74.8),
  accesses: count('Reads that this rests on', 163840),
  sampled_accesses: count('Of those, the ones of keys in the sample', 20480),
  sampled_keys: count('Keys in the sample', 4210),
  sampling_rate: number('The part of all keys that is sampled', 0.128),
  points: Type.Array(ref(CacheSizePoint), { description: 'At half, one, two and four times the present limits' })
}, {
  $id: 'CacheWhatIf',
  additionalProperties: false,
  description: 'The hit rate at other sizes, by small caches that follow a sample of the keys under the default strategy. ' +
    'It assumes that callers store what they do not find. Of several processes (`WORKERS`) each follows its own part of the reads; their findings are put together.',
  examples: [whatIf]
})

const analytics = {
  backend: 'memory',
  namespace: null,
  since: '2026-01-31T11:00:00.000Z',
  generated_at: '2026-01-31T12:00:02.000Z',
  hot_keys: hotKeys,
  access_patterns: activity,
  memory_distribution: distribution,
  ttl_distribution: ttls,
  backend_performance: performance,
  eviction_rate: evictions,
  what_if: whatIf,
  unavailable: {}
} as const
export const CacheAnalytics = Type.Object({
  backend: ref(CacheBackend),
  namespace: Type.Union([Type.String(), Type.Null()], { description: 'The namespace that this is of; null for all together', examples: ['default'] }),
  since: timestamp('When this began to be observed'),
  generated_at: timestamp('When this was put together'),
  hot_keys: ref(CacheHotKeys),
  access_patterns: orNull(ref(CacheActivity), 'Null for a namespace that there was no room for'),
  memory_distribution: ref(CacheMemoryDistribution),
  ttl_distribution: ref(CacheTtlDistribution),
  backend_performance: orNull(ref(CacheBackendPerformance), 'Null for one namespace, and where it is not measured'),
  eviction_rate: orNull(ref(CacheEvictionRate), 'Null where access_patterns is'),
  what_if: orNull(ref(CacheWhatIf), 'Null for one namespace, for a backend without limits of its own, and until there are 1000 sampled reads'),
  unavailable: Type.Record(Type.String(), Type.String(), {
    description: 'Why a part is null, by its name', examples: [{ what_if: 'There have not been enough reads yet: ask again later.' }]
  })
}, {
  $id: 'CacheAnalytics',
  additionalProperties: false,
  description: 'What a backend is used for and how it does, from sketches of bounded size',
  examples: [analytics]
})
export type CacheAnalytics = Static<typeof CacheAnalytics>

export const CacheAnalyticsReply = Type.Object({ success, analytics: ref(CacheAnalytics) }, {
  $id: 'CacheAnalyticsReply', additionalProperties: false, description: 'The analytics of a backend, or of one namespace in it', examples: [{ success: true, analytics }]
})
export type CacheAnalyticsReply = Static<typeof CacheAnalyticsReply>
