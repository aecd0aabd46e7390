import type { Counted } from '../cache/analytics/counted.js'
import { SpaceSaving } from '../cache/analytics/space-saving.js'

/** Keys of which the requests are told apart. */
export const KEYS = 1000

/** What the stored responses of this process's routes are used for, since its start. */
export class ResponseCounts {
  /** Requests that a stored response answered. */
  hits = 0
  /** Requests whose response was made, and kept where that is allowed. */
  misses = 0
  /** Of the hits, those with a response that was stale. */
  stale = 0
  /** Of the misses, those that waited for the answer to another. */
  collapsed = 0
  /** Requests that went past the cache. */
  bypasses = 0
  /** Writes after which the cache could not be told what they changed. */
  failedInvalidations = 0
  readonly #keys = new SpaceSaving(KEYS)

  /** Counts a hit, and for which key. */
  hit (key: string): void {
    this.hits++
    this.#keys.add(key, 1)
  }

  /** Counts a miss, and for which key. */
  miss (key: string): void {
    this.misses++
    this.#keys.add(key, 1)
  }

  /** The keys whose requests are told apart, in no order. */
  requested (): Counted[] { return this.#keys.counted() }

  /** The keys that were asked for most, the first one first. */
  top (most: number): [key: string, requests: number][] {
    return this.#keys.counted().sort((a, b) => b.count - a.count).slice(0, most).map(({ name, count }) => [name, count])
  }
}
