/** One number of a metric; its labels as they are written, `{backend="memory",outcome="hit"}`. */
interface Series {
  labels: string
  value: number
}

/** The label that a series must have. */
export type Having = readonly [label: string, value: string]

/** What is read of a text, which has much more. */
const METRICS = new Set([
  'larder_http_request_duration_seconds_bucket', 'larder_http_request_duration_seconds_count', 'larder_cache_operation_duration_seconds_bucket',
  'larder_cache_hits_total', 'larder_cache_misses_total', 'larder_cache_stale_total', 'larder_cache_evictions_total', 'larder_cache_coalesced_total',
  'larder_cache_memory_entries', 'larder_cache_memory_bytes', 'larder_breaker_state', 'larder_rate_limit_rejections_total', 'larder_requests_shed_total',
  'larder_streams_open', 'larder_processes', 'process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_start_time_seconds',
  'nodejs_eventloop_lag_p99_seconds'
])

/** What was counted up to a moment, from Prometheus text of one process or of several together. There are thousands of lines: no more is made of one than is asked for. */
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
  sum (name: string, having?: Having): number | undefined {
    return this.#values(name, having).reduce<number | undefined>((sum, value) => (sum ?? 0) + value, undefined)
  }

  /** The same, the highest of them. */
  highest (name: string): number | undefined {
    const values = this.#values(name)
    return values.length === 0 ? undefined : Math.max(...values)
  }

  /** Sums by the value of a label. */
  by (name: string, label: string, join: (a: number, b: number) => number = (a, b) => a + b): Map<string, number> {
    const sums = new Map<string, number>()
    for (const { labels, value } of this.#of(name)) {
      const key = valueOf(label, labels)
      const before = sums.get(key)
      sums.set(key, before === undefined ? value : join(before, value))
    }
    return sums
  }

  /** A histogram: how many were not above each bound, `Infinity` among them. */
  histogram (name: string, having?: Having): Map<number, number> {
    const sums = new Map<string, number>()
    for (const { labels, value } of this.#of(`${name}_bucket`)) {
      if (!has(labels, having)) continue
      const bound = valueOf('le', labels)
      sums.set(bound, (sums.get(bound) ?? 0) + value)
    }
    return new Map([...sums].map(([bound, count]) => [bound === '+Inf' ? Infinity : Number(bound), count]))
  }

  #of (name: string): readonly Series[] { return this.#series.get(name) ?? [] }

  #values (name: string, having?: Having): number[] {
    return this.#of(name).filter(({ labels }) => has(labels, having)).map(({ value }) => value)
  }

  #take (line: string): void {
    const brace = line.indexOf('{')
    const space = line.lastIndexOf(' ')
    const name = line.slice(0, brace === -1 ? space : brace)
    if (!METRICS.has(name)) return
    const value = Number(line.slice(space + 1))
    // Nothing was measured yet: prom-client writes Nan.
    if (Number.isNaN(value)) return
    const each = { labels: brace === -1 ? '' : line.slice(brace, space), value }
    const series = this.#series.get(name)
    if (series === undefined) this.#series.set(name, [each])
    else series.push(each)
  }
}

function has (labels: string, having: Having | undefined): boolean {
  return having === undefined || valueOf(having[0], labels) === having[1]
}

/** Empty where there is no such label. Of the labels that are asked for none has a value that needs an escape. */
function valueOf (label: string, labels: string): string {
  for (let at = labels.lastIndexOf(`${label}="`); at > 0; at = labels.lastIndexOf(`${label}="`, at - 1)) {
    const before = labels[at - 1]
    if (before === '{' || before === ',') return labels.slice(at + label.length + 2, labels.indexOf('"', at + label.length + 2))
  }
  return ''
}
