import type { Now } from '../clock.js'
import type { Counters } from '../statistics.js'
import { Buckets } from './buckets.js'

/** What is told by bucket, in this order. */
const COUNTED = ['hits', 'misses', 'sets', 'deletes', 'evictions'] as const
type Counted = typeof COUNTED[number]
export type Counts = Pick<Counters, Exclude<Counted, 'evictions'>> & { evictions: number }

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
/** Namespaces with buckets of their own, some 4 KB each. */
const NAMESPACES = 128
const NOTHING: Counts = { hits: 0, misses: 0, sets: 0, deletes: 0, evictions: 0 }

/** A stretch of time. `start` in milliseconds since the epoch. */
export interface Period extends Counts { start: number }

export interface ActivityReport {
  /** The last 60 minutes and 24 hours, oldest first, the current ones last; from before the start of the process there are none. */
  minutes: Period[]
  hours: Period[]
  /** Entries a second that gave way to others, on average. */
  evictions: { minute: number, fiveMinutes: number, hour: number }
}

/** Where the numbers come from; they only grow. */
export interface CounterSource {
  counters (namespace?: string): Counts
  /** Namespaces in which something happened, in the order in which that began. */
  namespaces (): Iterable<string>
}

/** The buckets of one namespace, or of all together. */
class Series {
  /** From before then it has nothing. */
  readonly began: number
  readonly tens = new Buckets(10 * SECOND, 7, COUNTED.length)
  readonly minutes = new Buckets(MINUTE, 60, COUNTED.length)
  readonly hours = new Buckets(HOUR, 24, COUNTED.length)
  #seen: Counts

  constructor (began: number, seen: Counts) {
    this.began = began
    this.#seen = seen
  }

  add (at: number, counts: Counts): void {
    const changes = COUNTED.map((name) => counts[name] - this.#seen[name])
    this.#seen = counts
    for (const buckets of [this.tens, this.minutes, this.hours]) buckets.add(at, changes)
  }

  /** When something last happened, or when it began. */
  get last (): number { return Math.max(this.began, this.hours.last) }
}

/**
 * What happened when, from the differences of counters that are there anyway: no access pays for it. In buckets of a fixed number,
 * for all namespaces together and for the first 128 of them; another one that is asked for takes the place of one that has been silent
 * for an hour.
 */
export class Activity {
  #source: CounterSource
  #now: Now
  #last: number
  #all: Series
  #series = new Map<string, Series>()
  /** Namespaces known to the source at the last turn. */
  #known = 0

  constructor (source: CounterSource, now: Now) {
    this.#source = source
    this.#now = now
    this.#last = now()
    this.#all = new Series(now(), source.counters())
    this.turn()
  }

  /** Takes note of what happened since the last time; the more often, the better it is known when. */
  turn (): void {
    const now = this.#now()
    // In the middle, so that a timer that is a little late does not count for the next bucket.
    const at = (this.#last + now) / 2
    this.#all.add(at, this.#source.counters())
    let position = 0
    for (const name of this.#source.namespaces()) {
      // One that is new did all that it did since the last turn.
      if (position++ >= this.#known && this.#series.size < NAMESPACES) this.#series.set(name, new Series(this.#last, NOTHING))
    }
    for (const [name, series] of this.#series) series.add(at, this.#source.counters(name))
    this.#known = position
    this.#last = now
  }

  /** Of one namespace or of all; undefined for a namespace that there is no room for. */
  report (namespace?: string): ActivityReport | undefined {
    this.turn()
    const series = namespace === undefined ? this.#all : this.#seriesOf(namespace)
    if (series === undefined) return undefined
    const now = this.#now()
    const { began, tens, minutes, hours } = series
    const rate = (buckets: Buckets, count: number): number => {
      const start = Math.max(began, buckets.startOf(now, count - 1))
      const evictions = buckets.read(now, count).reduce((sum, [, changes]) => sum + (changes[4] as number), 0)
      return now > start ? evictions * SECOND / (now - start) : 0
    }
    return {
      minutes: periods(minutes, 60, now, began),
      hours: periods(hours, 24, now, began),
      evictions: { minute: rate(tens, 7), fiveMinutes: rate(minutes, 6), hour: rate(minutes, 60) }
    }
  }

  #seriesOf (namespace: string): Series | undefined {
    const series = this.#series.get(namespace)
    if (series !== undefined) return series
    const counts = this.#source.counters(namespace)
    // Nothing happened there: nothing needs to be kept.
    if (COUNTED.every((name) => counts[name] === 0)) return new Series(this.#all.began, counts)
    const [silent] = [...this.#series].sort(([, a], [, b]) => a.last - b.last)
    if (silent !== undefined && this.#series.size >= NAMESPACES) {
      if (this.#now() - silent[1].last < HOUR) return undefined
      this.#series.delete(silent[0])
    }
    const begun = new Series(this.#now(), counts)
    this.#series.set(namespace, begun)
    return begun
  }
}

function periods (buckets: Buckets, count: number, now: number, began: number): Period[] {
  return buckets.read(now, count).filter(([start]) => start + buckets.width > began).map(([start, changes]) => ({
    start, ...Object.fromEntries(COUNTED.map((name, at) => [name, changes[at] as number])) as unknown as Counts
  }))
}
