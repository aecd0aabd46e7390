import { Registry, collectDefaultMetrics } from 'prom-client'

/**
 * Of what Node tells of a process, what is left out: gauges that are named like counters (`_total`) and are sums of others, and what stands under
 * `nodejs_active_resources` as well.
 */
const LEFT_OUT = [
  'nodejs_active_resources_total', 'nodejs_active_handles', 'nodejs_active_handles_total', 'nodejs_active_requests', 'nodejs_active_requests_total'
]

/** Upper bounds of the latency buckets, in milliseconds: an answer over HTTP, and an operation of the cache. */
const HTTP_BUCKETS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000]
const OPERATION_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000]

const STATUS_CLASSES = ['1xx', '2xx', '3xx', '4xx', '5xx']
const OUTCOMES = ['hit', 'miss', 'stale', 'ok', 'error'] as const

/** What a source of numbers answers when it is asked: counters and gauges, each with its labels. */
export interface Sample {
  /** A Prometheus name; `larder_` in front, the unit and (for counters) `_total` behind. */
  name: string
  help: string
  type: 'counter' | 'gauge'
  labels?: Record<string, string>
  value: number
  /** What a gauge is over several processes that serve together. Default `sum`. */
  across?: 'sum' | 'highest' | 'lowest'
}

/** What one process has counted, for whoever sums it over several. */
export interface Snapshot {
  /** Prometheus text. */
  text: string
  /** The gauges of which the highest is that of all processes, and those of which the lowest is. */
  maxima: string[]
  minima: string[]
}

/** Counts one operation of one backend. Every argument is the operation's duration in milliseconds. */
export interface OperationCounter {
  hit (milliseconds: number): void
  miss (milliseconds: number): void
  stale (milliseconds: number): void
  /** Neither a hit nor a miss: a write that was done, for instance. */
  ok (milliseconds: number): void
  error (milliseconds: number): void
}

/** Histograms over one list of bounds, one per series, in one typed array: observing allocates nothing. */
class Histograms {
  readonly #bounds: readonly number[]
  readonly #width: number
  #cells: Float64Array

  constructor (bounds: readonly number[]) {
    this.#bounds = bounds
    this.#width = bounds.length + 2 // the buckets, the one without bound, the sum
    this.#cells = new Float64Array(64 * this.#width)
  }

  /** Makes room for the series before `end`; call it when series are added, not when they are counted. */
  reserve (end: number): void {
    if (end * this.#width <= this.#cells.length) return
    const cells = new Float64Array(2 * end * this.#width)
    cells.set(this.#cells)
    this.#cells = cells
  }

  observe (series: number, milliseconds: number): void {
    const bounds = this.#bounds
    const start = series * this.#width
    let bucket = 0
    while (bucket < bounds.length && milliseconds > bounds[bucket]!) bucket++
    this.#cells[start + bucket]!++
    this.#cells[start + bounds.length + 1]! += milliseconds
  }

  /** Prometheus text of one series, in seconds; nothing when it was never observed. */
  render (series: number, name: string, labels: string): string {
    const cells = this.#cells.subarray(series * this.#width, (series + 1) * this.#width)
    let text = ''
    let count = 0
    this.#bounds.forEach((bound, i) => {
      count += cells[i]!
      text += `${name}_bucket{${labels},le="${bound / 1000}"} ${count}\n`
    })
    count += cells[this.#bounds.length]!
    if (count === 0) return ''
    return `${text}${name}_bucket{${labels},le="+Inf"} ${count}\n` +
      `${name}_sum{${labels}} ${cells[this.#bounds.length + 1]! / 1000}\n${name}_count{${labels}} ${count}\n`
  }
}

/**
 * Numbers about this process. They are counted in plain arrays, by an index that is known beforehand, and become
 * Prometheus text only when somebody asks.
 */
export class Metrics {
  /** False: nothing is counted, and whatever is handed out does nothing. */
  readonly enabled: boolean
  /** The index of requests that reached no route. */
  readonly unrouted: number
  readonly #routes: { method: string, url: string }[] = []
  readonly #requests = new Histograms(HTTP_BUCKETS)
  readonly #operations = new Map<string, number>()
  readonly #operationTimes = new Histograms(OPERATION_BUCKETS)
  readonly #collectors: (() => Iterable<Sample>)[] = []
  readonly #askers: (() => Promise<Iterable<Sample>>)[] = []
  readonly #maxima = new Set<string>()
  readonly #minima = new Set<string>()
  readonly #process = new Registry()

  constructor (enabled: boolean) {
    this.enabled = enabled
    this.unrouted = this.addRoute('any', '(none)')
    if (!enabled) return
    collectDefaultMetrics({ register: this.#process })
    for (const name of LEFT_OUT) this.#process.removeSingleMetric(name)
  }

  /** Registers a route and answers the index to count it under. */
  addRoute (method: string | readonly string[], url: string): number {
    this.#routes.push({ method: [method].flat().join(','), url })
    this.#requests.reserve(this.#routes.length * STATUS_CLASSES.length)
    return this.#routes.length - 1
  }

  observeRequest (route: number, status: number, milliseconds: number): void {
    if (!this.enabled) return
    const statusClass = Math.min(Math.max(Math.floor(status / 100), 1), STATUS_CLASSES.length) - 1
    this.#requests.observe(route * STATUS_CLASSES.length + statusClass, milliseconds)
  }

  /** The counter of an operation: ask once, keep it. The same backend and operation share one. */
  cacheOperation (backend: string, operation: string): OperationCounter {
    const times = this.#operationTimes
    if (!this.enabled) return { hit: ignore, miss: ignore, stale: ignore, ok: ignore, error: ignore }
    const name = `backend=${quote(backend)},operation=${quote(operation)}`
    const first = this.#operations.get(name) ?? this.#operations.size * OUTCOMES.length
    this.#operations.set(name, first)
    times.reserve(this.#operations.size * OUTCOMES.length)
    return {
      hit: (milliseconds) => times.observe(first, milliseconds),
      miss: (milliseconds) => times.observe(first + 1, milliseconds),
      stale: (milliseconds) => times.observe(first + 2, milliseconds),
      ok: (milliseconds) => times.observe(first + 3, milliseconds),
      error: (milliseconds) => times.observe(first + 4, milliseconds)
    }
  }

  /** Adds a source that is asked at each scrape, for what somebody counts anyway: entries, bytes, evictions. */
  addCollector (collect: () => Iterable<Sample>): void {
    this.#collectors.push(collect)
  }

  /**
   * The same for what others have to be asked for, a server for instance, under names that no collector has. Whoever asks answers in a fraction
   * of a second (`Lately`), and does not reject.
   */
  addAsker (ask: () => Promise<Iterable<Sample>>): void {
    this.#askers.push(ask)
  }

  /** Everything as Prometheus text, version 0.0.4. */
  async render (): Promise<string> {
    const asked = await Promise.all(this.#askers.map(async (ask) => await ask()))
    return this.counted() + this.#renderSamples(asked) + await this.#process.metrics()
  }

  /** The same without what others have to be asked for, and without what Node tells of the process. */
  counted (): string {
    return this.#renderRequests() + this.#renderOperations() + this.#renderSamples(this.#collectors.map((collect) => collect()))
  }

  async snapshot (): Promise<Snapshot> {
    return { text: await this.render(), maxima: [...this.#maxima], minima: [...this.#minima] }
  }

  /** The content type of `render`'s text. */
  get contentType (): string {
    return this.#process.contentType
  }

  #renderRequests (): string {
    const name = 'larder_http_request_duration_seconds'
    let text = `# HELP ${name} Time from a request's arrival to the end of its answer, or of an event stream to its beginning\n# TYPE ${name} histogram\n`
    this.#routes.forEach(({ method, url }, route) => {
      STATUS_CLASSES.forEach((status, i) => {
        text += this.#requests.render(route * STATUS_CLASSES.length + i, name,
          `method=${quote(method)},route=${quote(url)},status=${quote(status)}`)
      })
    })
    return text
  }

  #renderOperations (): string {
    const name = 'larder_cache_operation_duration_seconds'
    let text = `# HELP ${name} Time that operations of the cache API took\n# TYPE ${name} histogram\n`
    for (const [labels, first] of this.#operations) {
      OUTCOMES.forEach((outcome, i) => {
        text += this.#operationTimes.render(first + i, name, `${labels},outcome=${quote(outcome)}`)
      })
    }
    return text
  }

  #renderSamples (sources: readonly Iterable<Sample>[]): string {
    const families = new Map<string, string>()
    for (const samples of sources) {
      for (const { name, help, type, labels = {}, value, across } of samples) {
        if (across === 'highest') this.#maxima.add(name)
        if (across === 'lowest') this.#minima.add(name)
        const named = Object.entries(labels).map(([label, text]) => `${label}=${quote(text)}`).join(',')
        const head = families.get(name) ?? `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`
        families.set(name, `${head}${name}${named === '' ? '' : `{${named}}`} ${value}\n`)
      }
    }
    return [...families.values()].join('')
  }
}

function ignore (): void {}

function quote (label: string): string {
  return `"${label.replace(/[\\"\n]/g, (character) => character === '\n' ? '\\n' : `\\${character}`)}"`
}
