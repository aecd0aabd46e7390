import type { Now } from '../clock.js'
import type { OperationTimes } from '../timed-cache.js'

/** Buckets within each doubling: as powers of two, so that finding one's bucket needs no logarithm. */
const STEPS_BITS = 4
const STEPS = 2 ** STEPS_BITS
/** What is counted in: sixteenths of a microsecond, up to 2^31 of them, which is 134 seconds. */
const UNITS = 16_000
const LONGEST = 2 ** 31 - 1
const BUCKETS = STEPS * (32 - STEPS_BITS)
/** How long a window lasts, in milliseconds; two of them are looked at. */
const WINDOW = 300_000

/** Seconds. */
export interface Percentiles { p50: number, p90: number, p95: number, p99: number, max: number }

export interface OperationReport {
  operation: string
  /** Since the start. */
  count: number
  /** Of those, the ones that failed. */
  errors: number
  /** Of those, the ones that the percentiles are of. */
  recent: number
  /** Undefined when there were none lately. */
  percentiles: Percentiles | undefined
}

/** What one process has measured of an operation. */
export interface OperationTold {
  operation: string
  count: number
  errors: number
  /** Lately: the longest in milliseconds, and how many fell into each bucket in which there are any. */
  max: number
  buckets: [bucket: number, count: number][]
}

/** What one process has measured, for whoever puts several together. */
export interface LatenciesTold { window: number, operations: OperationTold[] }

/**
 * Durations in buckets that widen in proportion: sixteen to each doubling, so that a percentile, told as the middle of its bucket,
 * is off by 3.2 % at most. 1.8 KB; counting takes a multiplication and a count of leading zeros.
 * (As in HdrHistogram by Gil Tene, whose buckets are log-linear in the same way.)
 */
export class LatencyHistogram {
  count = 0
  /** Milliseconds. */
  max = 0
  readonly #buckets = new Uint32Array(BUCKETS)

  add (milliseconds: number): void {
    this.count++
    if (milliseconds > this.max) this.max = milliseconds
    this.#buckets[bucketOf(milliseconds)]!++
  }

  /** Adds what another one counted. */
  merge (other: LatencyHistogram): void {
    this.count += other.count
    this.max = Math.max(this.max, other.max)
    for (let at = 0; at < BUCKETS; at++) this.#buckets[at]! += other.#buckets[at] as number
  }

  /** The same, as another process tells it. */
  mergeTold ({ max, buckets }: Pick<OperationTold, 'max' | 'buckets'>): void {
    this.max = Math.max(this.max, max)
    for (const [at, count] of buckets) {
      this.count += count
      this.#buckets[at]! += count
    }
  }

  tell (): Pick<OperationTold, 'max' | 'buckets'> {
    return { max: this.max, buckets: [...this.#buckets.entries()].filter(([, count]) => count > 0) }
  }

  /** The duration in milliseconds that this fraction of all is at or below; NaN when there is none. */
  quantile (fraction: number): number {
    if (this.count === 0) return NaN
    let left = Math.max(1, Math.ceil(fraction * this.count))
    for (let at = 0; at < BUCKETS; at++) {
      left -= this.#buckets[at] as number
      if (left <= 0) return Math.min(this.max, (startOf(at) + startOf(at + 1)) / 2 / UNITS)
    }
    return this.max
  }

  clear (): void {
    this.count = 0
    this.max = 0
    this.#buckets.fill(0)
  }
}

function bucketOf (milliseconds: number): number {
  const units = Math.min(milliseconds * UNITS, LONGEST) | 0
  if (units < STEPS) return units < 0 ? 0 : units
  const shift = 31 - STEPS_BITS - Math.clz32(units)
  return (shift + 1) * STEPS + (units >>> shift) - STEPS
}

/** The fewest units of a bucket. */
function startOf (bucket: number): number {
  if (bucket < STEPS) return bucket
  const shift = Math.floor(bucket / STEPS) - 1
  return (bucket % STEPS + STEPS) * 2 ** shift
}

/** One operation: two windows that take turns, so that percentiles tell of the last five to ten minutes. */
class OperationLatencies implements OperationTimes {
  count = 0
  errors = 0
  #current = new LatencyHistogram()
  #previous = new LatencyHistogram()
  readonly #next: OperationTimes | undefined

  /** @param next is told the same */
  constructor (next: OperationTimes | undefined) { this.#next = next }

  hit (milliseconds: number): void {
    this.#add(milliseconds)
    this.#next?.hit(milliseconds)
  }

  miss (milliseconds: number): void {
    this.#add(milliseconds)
    this.#next?.miss(milliseconds)
  }

  ok (milliseconds: number): void {
    this.#add(milliseconds)
    this.#next?.ok(milliseconds)
  }

  error (milliseconds: number): void {
    this.errors++
    this.#add(milliseconds)
    this.#next?.error(milliseconds)
  }

  turn (): void {
    [this.#previous, this.#current] = [this.#current, this.#previous]
    this.#current.clear()
  }

  tell (operation: string): OperationTold {
    const merged = new LatencyHistogram()
    merged.merge(this.#previous)
    merged.merge(this.#current)
    return { operation, count: this.count, errors: this.errors, ...merged.tell() }
  }

  #add (milliseconds: number): void {
    this.count++
    this.#current.add(milliseconds)
  }
}

/** How long the operations of one cache take: 3.6 KB each. */
export class Latencies {
  #now: Now
  #operations = new Map<string, OperationLatencies>()
  #began: number
  #previous: number

  constructor (now: Now) {
    this.#now = now
    this.#began = this.#previous = now()
  }

  /** Where an operation's times are counted: ask once, keep it. @param next is told the same */
  of (operation: string, next?: OperationTimes): OperationTimes {
    const latencies = new OperationLatencies(next)
    this.#operations.set(operation, latencies)
    return latencies
  }

  /** To be called now and then. */
  turn (): void {
    if (this.#now() - this.#began < WINDOW) return
    this.#previous = this.#began
    this.#began = this.#now()
    for (const latencies of this.#operations.values()) latencies.turn()
  }

  /** Seconds that the percentiles cover. */
  get window (): number { return (this.#now() - this.#previous) / 1000 }

  /** Those that happened. */
  tell (): LatenciesTold {
    return { window: this.window, operations: [...this.#operations].map(([operation, latencies]) => latencies.tell(operation)).filter(({ count }) => count > 0) }
  }

  /** How often each operation was done and failed, since the start. */
  * counts (): Generator<[operation: string, counts: { count: number, errors: number }]> {
    for (const [operation, { count, errors }] of this.#operations) yield [operation, { count, errors }]
  }

  /** Of this process. */
  report (): OperationReport[] { return operationsOf([this.tell()]) }
}

/** How the operations do that these tell of: percentiles are of all durations together. */
export function operationsOf (told: readonly LatenciesTold[]): OperationReport[] {
  const all = new Map<string, { count: number, errors: number, times: LatencyHistogram }>()
  for (const each of told.flatMap(({ operations }) => operations)) {
    const one = all.get(each.operation) ?? { count: 0, errors: 0, times: new LatencyHistogram() }
    one.count += each.count
    one.errors += each.errors
    one.times.mergeTold(each)
    all.set(each.operation, one)
  }
  return [...all].map(([operation, { count, errors, times }]) => {
    const at = (fraction: number): number => times.quantile(fraction) / 1000
    return {
      operation,
      count,
      errors,
      recent: times.count,
      percentiles: times.count === 0 ? undefined : { p50: at(0.5), p90: at(0.9), p95: at(0.95), p99: at(0.99), max: times.max / 1000 }
    }
  })
}
