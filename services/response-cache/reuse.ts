import type { StaleUse } from '../cache/get-or-set.js'
import type { Keeping } from './storing.js'
import type { Wish } from './wish.js'

/**
 * Whether a fresh response may answer a request (RFC 9111, section 5.2.1).
 * @param age seconds since it was made
 * @param ttl seconds for which it is still fresh
 */
export function isUsable (age: number, ttl: number, { maxAge, minFresh }: Wish): boolean {
  // Seconds are whole on the wire; who asks for none wants a new answer.
  if (maxAge !== undefined && (maxAge === 0 || age > maxAge)) return false
  return minFresh === undefined || ttl >= minFresh
}

/**
 * What a stale response may be used for: at once, as `max-stale` or `stale-while-revalidate` allow it, in place of an error, as
 * `stale-if-error` allows it (RFC 5861), or for nothing. Who names an age or a time to be fresh wants nothing stale but what `max-stale` says.
 * @param staleness seconds since it was fresh
 */
export function staleUseOf (
  age: number, staleness: number, { mustRevalidate, staleWhileRevalidate, staleIfError }: Pick<Keeping, 'mustRevalidate' | 'staleWhileRevalidate' | 'staleIfError'>, wish: Wish
): StaleUse {
  if (mustRevalidate || wish.minFresh !== undefined) return 'never'
  if (wish.maxAge !== undefined && (wish.maxStale === undefined || wish.maxAge === 0 || age > wish.maxAge)) return 'never'
  if (wish.maxStale !== undefined && staleness <= wish.maxStale) return 'at-once'
  if (wish.maxAge !== undefined) return 'never'
  if (staleWhileRevalidate > 0 && staleness <= staleWhileRevalidate) return 'at-once'
  return staleIfError > 0 && staleness <= staleIfError ? 'on-error' : 'never'
}
