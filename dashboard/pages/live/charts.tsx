import { useMemo } from 'preact/hooks'
import type { LiveBackend, LiveSample } from '../../../schemas/live.js'
import { bytes, duration, number, percent } from '../../format.js'
import { Chart, type Series } from '../../parts/chart.js'
import { Panel } from '../../parts/panel.js'
import type { Moment } from './history.js'

const perSecond = (value: number): string => `${number(value)}/s`

interface Line {
  label: string
  of: (sample: LiveSample) => number | null | undefined
  isBound?: boolean
}

interface Drawn {
  title: string
  lines: readonly Line[]
  format: (value: number) => string
  top?: number
  inBytes?: boolean
  nothing?: string
}

const errors = (sample: LiveSample, status: string): number => sample.requests.by_status[status] ?? 0

/** What is drawn of the service as a whole. */
const WHOLE: readonly Drawn[] = [
  { title: 'Hit ratio', format: percent, top: 100, nothing: 'no reads', lines: [{ label: 'All caches', of: ({ cache }) => cache.hit_rate }] },
  {
    title: 'Requests per second',
    format: perSecond,
    lines: [
      { label: 'All', of: ({ requests }) => requests.per_second },
      { label: 'Status 4xx', of: (sample) => errors(sample, '4xx') },
      { label: 'Status 5xx', of: (sample) => errors(sample, '5xx') }
    ]
  },
  {
    title: 'Latency of answers',
    format: duration,
    nothing: 'no answers',
    lines: (['p50', 'p95', 'p99'] as const).map((part) => ({ label: part, of: ({ requests }) => requests.latency?.[part] }))
  },
  {
    title: 'Evictions per second',
    format: perSecond,
    lines: [{ label: 'All caches', of: ({ cache }) => cache.evictions_per_second }]
  }
]

/** Of the backend that was chosen. */
function contentsOf (name: string, isLimited: boolean): Drawn {
  const its = (of: (backend: LiveBackend) => number | null) => ({ backends }: LiveSample) => {
    const backend = backends.find((each) => each.name === name)
    return backend && of(backend)
  }
  return {
    title: `Memory against its limit: ${name}`,
    format: bytes,
    inBytes: true,
    nothing: 'not known',
    lines: [{ label: 'Used', of: its((backend) => backend.bytes) }, ...isLimited ? [{ label: 'Limit', of: its(({ max_memory: limit }) => limit), isBound: true }] : []]
  }
}

const PROCESS: Drawn = { title: 'Event loop', format: duration, lines: [{ label: 'Lag', of: ({ process }) => process.event_loop_lag }] }

/** Time series, all over the same time. @param backend whose memory is drawn */
export function Charts ({ moments, backend }: { moments: readonly Moment[], backend: string }) {
  const times = useMemo(() => moments.map(({ time }) => time), [moments])
  const isLimited = moments.some(({ sample }) => sample?.backends.some(({ name, max_memory: limit }) => name === backend && limit !== null))
  const memory = useMemo(() => contentsOf(backend, isLimited), [backend, isLimited])
  return (
    <div class='panels live-charts'>
      {[...WHOLE, memory, PROCESS].map((drawn) => <Lines key={drawn.title} drawn={drawn} moments={moments} times={times} />)}
    </div>
  )
}

function Lines ({ drawn: { lines, title, ...how }, moments, times }: { drawn: Drawn, moments: readonly Moment[], times: readonly number[] }) {
  const series = useMemo((): Series[] => lines.map(({ label, of, isBound = false }) => ({
    label, isBound, values: moments.map(({ sample }) => sample === undefined ? null : of(sample) ?? null)
  })), [lines, moments])
  return (
    <Panel title={title}>
      <Chart title={title} titled={false} series={series} times={times} together='live' {...how} />
    </Panel>
  )
}
