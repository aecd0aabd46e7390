/** One number of a metric, with its labels. */
export interface Series {
  labels: Readonly<Record<string, string>>
  value: number
}

type Meant = (labels: Series['labels']) => boolean
const ALL: Meant = () => true

/** What is read of a text, which has much more. */
const METRICS = new Set([
  'larder_http_request_duration_seconds_bucket', 'larder_http_request_duration_seconds_count', 'larder_cache_operation_duration_seconds_bucket',
  'larder_cache_hits_total', 'larder_cache_misses_total', 'larder_cache_stale_total', 'larder_cache_evictions_total', 'larder_cache_coalesced_total',
  'larder_cache_memory_entries', 'larder_cache_memory_bytes', 'larder_breaker_state', 'larder_rate_limit_rejections_total', 'larder_requests_shed_total',
  'larder_streams_open', 'larder_processes', 'process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_start_time_seconds',
  'nodejs_eventloop_lag_p99_seconds'
])
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g

/** What was counted up to a moment, from Prometheus text of one process or of several together. */
export class Reading {
  /** Milliseconds, never going back. */
  readonly at: number
  readonly #series = new Map<string, Series[]>()

  constructor (text: string, at: number) {
    this.at = at
    for (let start = 0, end; start < text.length; start = end + 1) {
      end = text.indexOf('\n', start)
      if (end === -1) end = text.length
      if (text.charCodeAt(start) !== 35) this.#take(text.slice(start, end)) // no comment
    }
  }

  /** Undefined when nobody told of it. */
  sum (name: string, isMeant = ALL): number | undefined {
    const meant = this.#of(name).filter(({ labels }) => isMeant(labels))
    return meant.length === 0 ? undefined : meant.reduce((sum, { value }) => sum + value, 0)
  }

  /** The same, the highest of them. */
  highest (name: string, isMeant = ALL): number | undefined {
    const meant = this.#of(name).filter(({ labels }) => isMeant(labels))
    return meant.length === 0 ? undefined : Math.max(...meant.map(({ value }) => value))
  }

  /** Sums by the value of a label. */
  by (name: string, label: string, join: (a: number, b: number) => number = (a, b) => a + b): Map<string, number> {
    const sums = new Map<string, number>()
    for (const { labels, value } of this.#of(name)) {
      const key = labels[label] ?? ''
      const before = sums.get(key)
      sums.set(key, before === undefined ? value : join(before, value))
    }
    return sums
  }

  /** A histogram: how many were not above each bound, `Infinity` among them. */
  histogram (name: string, isMeant = ALL): Map<number, number> {
    const counts = new Map<number, number>()
    for (const { labels, value } of this.#of(`${name}_bucket`)) {
      if (!isMeant(labels)) continue
      const bound = labels['le'] === '+Inf' ? Infinity : Number(labels['le'])
      counts.set(bound, (counts.get(bound) ?? 0) + value)
    }
    return counts
  }

  #of (name: string): readonly Series[] { return this.#series.get(name) ?? [] }

  #take (line: string): void {
    const brace = line.indexOf('{')
    const space = line.lastIndexOf(' ')
    const name = line.slice(0, brace === -1 ? space : brace)
    if (!METRICS.has(name)) return
    const value = Number(line.slice(space + 1))
    // Nothing was measured yet: prom-client writes Nan.
    if (Number.isNaN(value)) return
    const labels: Record<string, string> = {}
    if (brace !== -1) for (const [, label, text] of line.slice(brace, space).matchAll(LABEL)) labels[label!] = text!
    const series = this.#series.get(name)
    if (series === undefined) this.#series.set(name, [{ labels, value }])
    else series.push({ labels, value })
  }
}
