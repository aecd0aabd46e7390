import type { LiveBackend, LiveBreaker, LiveSample } from '../../schemas/live.js'
import type { PartHealth } from '../../schemas/health.js'
import { isoTime } from '../iso-time.js'
import { percentilesBetween, rounded } from './percentiles.js'
import type { Having, Reading } from './reading.js'

/** What is in a cache, and may be. */
export interface Content {
  name: string
  /** Undefined when it is not known. */
  entries: number | undefined
  bytes: number | undefined
  /** Infinity where there is no such limit. */
  maxItems: number
  maxMemory: number
}

export interface Circumstances {
  /** Milliseconds since the epoch. */
  time: number
  contents: readonly Content[]
  parts: Record<string, PartHealth> | undefined
}

const REQUESTS = 'larder_http_request_duration_seconds'
const OPERATIONS = 'larder_cache_operation_duration_seconds'
const BREAKERS: readonly LiveBreaker[] = ['closed', 'half-open', 'open']

/** What happened between two readings, and how it is now. */
export function sampleBetween (before: Reading, now: Reading, { time, contents, parts }: Circumstances): LiveSample {
  const seconds = (now.at - before.at) / 1000
  const rate = (count: number): number => rounded(Math.max(0, count) / seconds)
  const grown = (name: string, having?: Having): number => (now.sum(name, having) ?? 0) - (before.sum(name, having) ?? 0)
  const latency = (name: string, having?: Having) => percentilesBetween(before.histogram(name, having), now.histogram(name, having))

  const reads = (having?: Having) => {
    const [hits, misses] = [grown('larder_cache_hits_total', having), grown('larder_cache_misses_total', having)]
    return {
      hits_per_second: rate(hits),
      misses_per_second: rate(misses),
      hit_rate: hits + misses > 0 ? rounded(hits / (hits + misses) * 100) : null,
      evictions_per_second: rate(grown('larder_cache_evictions_total', having))
    }
  }
  const levels = now.by('larder_breaker_state', 'name', Math.max)
  const breakers = Object.fromEntries([...levels].map(([name, level]) => [name, BREAKERS[level] ?? 'open']))
  const backendOf = ({ name, entries, bytes, maxItems, maxMemory }: Content): LiveBackend => ({
    name,
    ...reads(['backend', name]),
    entries: entries ?? null,
    bytes: bytes ?? null,
    max_items: Number.isFinite(maxItems) ? maxItems : null,
    max_memory: Number.isFinite(maxMemory) ? maxMemory : null,
    latency: latency(OPERATIONS, ['backend', name]),
    breaker: breakers[name] ?? null
  })

  const earlier = before.by(`${REQUESTS}_count`, 'status')
  const statuses = [...now.by(`${REQUESTS}_count`, 'status')].map(([status, count]) => [status, rate(count - (earlier.get(status) ?? 0))] as const)
  const lag = now.highest('nodejs_eventloop_lag_p99_seconds')
  // The least of them began first.
  const began = now.by('process_start_time_seconds', 'worker', Math.min)
  return {
    time: isoTime(time),
    seconds: rounded(seconds),
    requests: {
      per_second: rate(grown(`${REQUESTS}_count`)),
      by_status: Object.fromEntries(statuses.filter(([, each]) => each > 0)),
      latency: latency(REQUESTS),
      rate_limited_per_second: rate(grown('larder_rate_limit_rejections_total')),
      shed_per_second: rate(grown('larder_requests_shed_total'))
    },
    cache: { ...reads(), stale_per_second: rate(grown('larder_cache_stale_total')), coalesced_per_second: rate(grown('larder_cache_coalesced_total')) },
    backends: contents.map(backendOf),
    parts: parts ?? null,
    breakers,
    process: {
      processes: now.sum('larder_processes') ?? 1,
      cpu: rounded(100 * Math.max(0, grown('process_cpu_seconds_total')) / seconds),
      resident_bytes: Math.round(now.sum('process_resident_memory_bytes') ?? 0),
      event_loop_lag: lag === undefined ? null : rounded(lag),
      uptime: Math.max(0, Math.round(time / 1000 - Math.min(time / 1000, ...began.values())))
    },
    streams: now.sum('larder_streams_open') ?? 0
  }
}
