import type { LiveBackend, LiveSample } from '../../../schemas/live.js'
import { bytes, duration, number, percent } from '../../format.js'
import { Stat } from '../../parts/stat.js'

const HIGH = 90

/** The present values. @param backend the one that was chosen */
export function Figures ({ sample, backend }: { sample: LiveSample, backend: LiveBackend | undefined }) {
  const { requests, cache, process } = sample
  return (
    <dl class='stats' aria-label='Present values'>
      <Stat label='Hit ratio' value={cache.hit_rate === null ? 'no reads' : percent(cache.hit_rate)} hint={`${number(cache.hits_per_second)} hits/s, ${number(cache.misses_per_second)} misses/s`} />
      <Stat label='Requests' value={`${number(requests.per_second)}/s`} hint={statuses(requests.by_status)} />
      <Stat
        label='Latency (p95)' value={requests.latency === null ? 'no answers' : duration(requests.latency.p95)}
        hint={requests.latency === null ? undefined : `p50 ${duration(requests.latency.p50)}, p99 ${duration(requests.latency.p99)}`}
      />
      <Stat label='Evictions' value={`${number(cache.evictions_per_second)}/s`} hint='entries that gave way to others' />
      {backend !== undefined && <Memory backend={backend} />}
      <Stat label='Refused' value={`${number(requests.rate_limited_per_second)}/s`} hint={`by rate limits; ${number(requests.shed_per_second)}/s for overload`} {...requests.shed_per_second > 0 && { tone: 'bad' }} />
      <Stat label='Processor' value={percent(process.cpu)} hint={process.event_loop_lag === null ? 'of one core' : `of one core; event loop ${duration(process.event_loop_lag)} late`} />
      <Stat label='Resident memory' value={bytes(process.resident_bytes)} hint={process.processes === 1 ? 'of the process' : `of ${process.processes} processes`} />
      <Stat label='Up for' value={duration(process.uptime)} hint={`${sample.streams} ${sample.streams === 1 ? 'stream is' : 'streams are'} open`} />
    </dl>
  )
}

function Memory ({ backend: { name, bytes: used, entries, max_memory: limit, max_items: maxItems } }: { backend: LiveBackend }) {
  if (used === null || entries === null) return <Stat label={`Bytes in ${name}`} value='unknown' hint='it could not be asked yet' />
  const share = limit === null || limit === 0 ? 0 : used / limit * 100
  return (
    <>
      <Stat label={`Bytes in ${name}`} value={bytes(used)} hint={limit === null ? 'it has no limit of its own' : `${percent(share)} of ${bytes(limit)}`} {...share >= HIGH && { tone: 'warn' }} />
      <Stat label={`Entries in ${name}`} value={number(entries)} hint={maxItems === null ? 'any number may be' : `of ${number(maxItems)}`} />
    </>
  )
}

function statuses (byStatus: LiveSample['requests']['by_status']): string {
  const told = Object.entries(byStatus).sort(([a], [b]) => a.localeCompare(b)).map(([status, rate]) => `${status} ${number(rate)}/s`)
  return told.length === 0 ? 'none just now' : told.join(', ')
}
