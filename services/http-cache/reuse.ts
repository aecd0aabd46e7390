import type { Cache } from '../cache/cache.js'
import type { Entry } from '../cache/entry.js'
import { isOutage } from '../cache/faults.js'
import type { StaleUse } from '../cache/get-or-set.js'
import { NotCachedError } from '../errors.js'
import { NO_WISH, type Wish } from './wish.js'

/** What an answer allows once it is stale, in seconds past its time. */
export interface Leeway {
  mustRevalidate: boolean
  staleWhileRevalidate: number
  staleIfError: number
}

/**
 * How a request comes by its answer: past the cache, which is neither read nor written · past what is cached, which is refreshed · from the
 * cache alone · not at all, for it wants no stored answer and no other one · from the cache, which is filled where it has none.
 */
export type Way = 'past' | 'refresh' | 'cached-only' | 'none' | 'read'

/** What a request says, before anything is known of what is cached (RFC 9111, section 5.2.1). @param isPast whether its address asks to go past the cache */
export function wayOf ({ noStore, noCache, onlyIfCached }: Wish, isPast: boolean): Way {
  const isAnew = isPast || noCache
  if (onlyIfCached) return noStore || isAnew ? 'none' : 'cached-only'
  if (noStore) return 'past'
  return isAnew ? 'refresh' : 'read'
}

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
  age: number, staleness: number, { mustRevalidate, staleWhileRevalidate, staleIfError }: Leeway, wish: Wish
): StaleUse {
  if (mustRevalidate || wish.minFresh !== undefined) return 'never'
  if (wish.maxAge !== undefined && (wish.maxStale === undefined || wish.maxAge === 0 || age > wish.maxAge)) return 'never'
  if (wish.maxStale !== undefined && staleness <= wish.maxStale) return 'at-once'
  if (wish.maxAge !== undefined) return 'never'
  if (staleWhileRevalidate > 0 && staleness <= staleWhileRevalidate) return 'at-once'
  return staleIfError > 0 && staleness <= staleIfError ? 'on-error' : 'never'
}

/** When something was stored, and until when it is fresh: milliseconds, by the cache's clock. */
export interface Times {
  readonly createdAt: number
  readonly expiresAt: number
}

/**
 * What something that the cache will not answer with by itself may be used for.
 * @param age seconds that it had when it was stored
 */
export function useOfStored ({ createdAt, expiresAt }: Times, now: number, leeway: Leeway, wish: Wish, age = 0): StaleUse {
  // Fresh by its time, but while other processes cannot be heard nobody knows whether it still holds: it stands in, and no more.
  const isInDoubt = expiresAt > now
  return staleUseOf(
    age + (now - createdAt) / 1000, Math.max(0, now - expiresAt) / 1000, isInDoubt ? { ...leeway, staleWhileRevalidate: 0 } : leeway, isInDoubt ? NO_WISH : wish)
}

/** Whether something answers a request that wants nothing but what is cached. */
export function mayAnswer ({ createdAt, expiresAt }: Times, now: number, leeway: Leeway, wish: Wish, age = 0): boolean {
  if (expiresAt > now) return isUsable(age + (now - createdAt) / 1000, (expiresAt - now) / 1000, wish)
  return useOfStored({ createdAt, expiresAt }, now, leeway, wish, age) === 'at-once'
}

/** What is under a key for such a request: stale only where it takes that. Nothing is loaded; while the cache is away nothing is known to be in it. */
export async function cachedFor (cache: Cache, key: string, { maxStale }: Wish): Promise<Entry | undefined> {
  try {
    return await cache.get(cache.namespace, key) ?? (maxStale === undefined ? undefined : await cache.peek(cache.namespace, key, true))
  } catch (error) {
    if (isOutage(error)) return undefined
    throw error
  }
}

/** Nothing fits, and nothing else was asked for: no fault that the log would have to tell. */
export const notCached = (): Error => Object.assign(new NotCachedError(), { isTold: true })
