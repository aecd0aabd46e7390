import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { ref, timestamp } from './common.js'
import { PartHealth } from './health.js'

const number = (description: string, example: number) => Type.Number({ minimum: 0, description, examples: [example] })
const count = (description: string, example: number) => Type.Integer({ minimum: 0, description, examples: [example] })
const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })
const hitRate = (description: string) => orNull(Type.Number({ minimum: 0, maximum: 100, examples: [92.5] }), description)

const latency = { p50: 0.0004, p95: 0.0021, p99: 0.0087 }
export const LiveLatency = Type.Object({
  p50: number('Half took less', 0.0004),
  p95: number('95 of 100 took less', 0.0021),
  p99: number('99 of 100 took less', 0.0087)
}, {
  $id: 'LiveLatency',
  additionalProperties: false,
  description: 'Seconds, estimated from a histogram: a value lies in the right bucket, and is interpolated there. Past its last bound, that bound',
  examples: [latency]
})
export type LiveLatency = Static<typeof LiveLatency>

const breakerWords = [Type.Literal('closed'), Type.Literal('half-open'), Type.Literal('open')]
export const LiveBreaker = Type.Union(breakerWords, {
  $id: 'LiveBreaker',
  description: 'Whether a server is left alone: `closed` is the good state, `open` leaves it alone, `half-open` lets one operation through to see',
  examples: ['closed']
})
export type LiveBreaker = Static<typeof LiveBreaker>

const backend = {
  name: 'memory',
  hits_per_second: 185,
  misses_per_second: 15,
  hit_rate: 92.5,
  evictions_per_second: 3,
  entries: 9981,
  bytes: 41200000,
  max_items: 10000,
  max_memory: 104857600,
  latency: { p50: 0.00001, p95: 0.00003, p99: 0.00009 },
  breaker: null
}
export const LiveBackend = Type.Object({
  name: Type.String({ description: 'A backend of the cache API; `app` is the cache of the application itself (cache-aside, cached responses)', examples: ['memory'] }),
  hits_per_second: number('Reads that found their entry', 185),
  misses_per_second: number('Reads that did not', 15),
  hit_rate: hitRate('Percent of the reads that found their entry; null when there were none'),
  evictions_per_second: number('Entries that gave way to others', 3),
  entries: orNull(count('', 9981), 'Entries in it; null where that was not asked yet, or could not be'),
  bytes: orNull(count('', 41200000), 'Bytes that they count for; null likewise'),
  max_items: orNull(count('', 10000), 'Entries that there may be; null where there is no such limit'),
  max_memory: orNull(count('', 104857600), 'Bytes that they may take; null where there is no such limit'),
  latency: orNull(ref(LiveLatency), 'Of its operations; null when there were none, and where it is not measured (`CACHE_PERFORMANCE_TRACKING`)'),
  breaker: orNull(ref(LiveBreaker), 'Null where there is no server behind it')
}, { $id: 'LiveBackend', additionalProperties: false, description: 'How one cache did in an interval, and what is in it', examples: [backend] })
export type LiveBackend = Static<typeof LiveBackend>

const requests = { per_second: 412, by_status: { '2xx': 398, '4xx': 14 }, latency, rate_limited_per_second: 2, shed_per_second: 0 }
export const LiveRequests = Type.Object({
  per_second: number('Answers', 412),
  by_status: Type.Record(Type.String({ pattern: '^[1-5]xx$' }), Type.Number({ minimum: 0 }), {
    description: 'Answers a second by the class of their status; those that there were none of are left out', examples: [requests.by_status]
  }),
  latency: orNull(ref(LiveLatency), 'Of the answers; of a stream until it began. Null when there were none'),
  rate_limited_per_second: number('Requests refused by a rate limit', 2),
  shed_per_second: number('Requests turned away because there was too much to do', 0)
}, { $id: 'LiveRequests', additionalProperties: false, description: 'Requests over HTTP in an interval', examples: [requests] })
export type LiveRequests = Static<typeof LiveRequests>

const cache = { hits_per_second: 185, misses_per_second: 15, hit_rate: 92.5, stale_per_second: 0, evictions_per_second: 3, coalesced_per_second: 1 }
export const LiveCache = Type.Object({
  hits_per_second: number('Reads that found their entry', 185),
  misses_per_second: number('Reads that did not', 15),
  hit_rate: hitRate('Percent of the reads that found their entry; null when there were none'),
  stale_per_second: number('Reads answered with a stale value', 0),
  evictions_per_second: number('Entries that gave way to others', 3),
  coalesced_per_second: number('Reads that waited for another\'s load: stampedes avoided', 1)
}, { $id: 'LiveCache', additionalProperties: false, description: 'All caches together in an interval', examples: [cache] })
export type LiveCache = Static<typeof LiveCache>

const own = { processes: 1, cpu: 23.5, resident_bytes: 182000000, event_loop_lag: 0.011, uptime: 86412 }
export const LiveProcess = Type.Object({
  processes: count('Processes that serve together', 1),
  cpu: number('Percent of one processor core; of several processes the sum', 23.5),
  resident_bytes: count('Resident memory; of several processes the sum', 182000000),
  event_loop_lag: orNull(Type.Number({ minimum: 0, examples: [0.011] }), 'Seconds: 99 of 100 looks at the event loop were less late; of several processes the highest. Null where nobody listened'),
  uptime: number('Seconds since the start; of several processes the oldest', 86412)
}, { $id: 'LiveProcess', additionalProperties: false, description: 'What the service takes', examples: [own] })
export type LiveProcess = Static<typeof LiveProcess>

const sample = {
  time: '2026-01-31T12:00:02.000Z',
  seconds: 1.001,
  requests,
  cache,
  backends: [backend],
  parts: { postgres: { status: 'up' as const, required: true, latency: 0.0012 }, redis: { status: 'down' as const, required: false, latency: 1.0004 } },
  breakers: { postgres: 'closed' as const, redis: 'open' as const },
  process: own,
  streams: 2
}
export const LiveSample = Type.Object({
  time: timestamp('When it was taken'),
  seconds: number('The interval that ends there: everything per second, each hit rate and each latency is of it', 1.001),
  requests: ref(LiveRequests),
  cache: ref(LiveCache),
  backends: Type.Array(ref(LiveBackend), { description: 'The caches of the API, the default one first, and that of the application last' }),
  parts: orNull(Type.Record(Type.String(), ref(PartHealth)), 'How each part of the service is, as in `/health/ready`, seen from the process that answers; null where nobody listened'),
  breakers: Type.Record(Type.String(), ref(LiveBreaker), { description: 'By the server that is behind it; of several processes the worst' }),
  process: ref(LiveProcess),
  streams: count('Streams of events that are open', 2)
}, {
  $id: 'LiveSample',
  additionalProperties: false,
  description: 'How the service did in an interval, and how it is: all processes that serve together (`WORKERS`)',
  examples: [sample]
})
export type LiveSample = Static<typeof LiveSample>
