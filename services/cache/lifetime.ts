import { InvalidLifetimeError } from './errors.js'

/** Seconds, a hundred years: what a caller of the API may ask for, and what every backend can count. */
export const LONGEST_LIFE = 3_155_760_000

/**
 * @param ttl seconds; Infinity, as 0, never expires, and what is below 0 is over already
 * @throws InvalidLifetimeError
 */
export function checkTtl (key: string, ttl: number | undefined): void {
  if (ttl === undefined || ttl <= LONGEST_LIFE || ttl === Infinity) return
  throw new InvalidLifetimeError('TTL', key, String(ttl), `seconds up to ${LONGEST_LIFE}, a hundred years, or 0 for what never expires`)
}

/** @param grace seconds. @throws InvalidLifetimeError */
export function checkGrace (key: string, grace: number | undefined): void {
  if (grace === undefined || (grace >= 0 && grace <= LONGEST_LIFE)) return
  throw new InvalidLifetimeError('grace', key, String(grace), `seconds from 0 to ${LONGEST_LIFE}, a hundred years`)
}
