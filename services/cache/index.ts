/**
 * The cache engine by itself, as `larder/cache`: it knows nothing of HTTP, of Fastify, or of the service around it.
 * `docs/engine.md` shows it in use.
 */
import type { Redis } from 'ioredis'
import { RedisBackend } from './backends/redis/redis.js'
import { Cache } from './cache.js'
import { monotonicNow } from './clock.js'
import type { OnFault } from './faults.js'
import { DEFAULT_LIMITS, type Limits } from './limits.js'
import { LocalStore } from './stores/local-store.js'
import { SharedStore } from './stores/shared-store.js'

export interface CreateCacheOptions {
  /**
   * What the cache may hold in this process, and how it keeps it. Defaults: 10 000 entries, 100 MiB, a TTL of an hour, the least
   * recently used first, a sweep every five minutes.
   */
  limits?: Partial<Limits>
  /** Where `getOrSet` and its siblings keep their entries. Default `default`. */
  namespace?: string
  /**
   * A client of ioredis for a Redis that the processes share; it is not closed here. The cache keeps a second connection for what the
   * others announce. Absent: memory alone. Set `enableOfflineQueue: false` and `maxRetriesPerRequest: 0` on it, or a Redis that is
   * away holds commands back instead of refusing them.
   */
  redis?: Redis
  /** Before every key and channel in Redis; caches with the same one are the same cache. Default `larder:cache`. */
  prefix?: string
  /** Is told of faults in work that nobody waits for. Default: a warning of the process. */
  onFault?: OnFault
}

/**
 * A cache in memory, or one in Redis with memory in front of it that the processes keep coherent. Settles once it can be used, which it can
 * also when Redis does not answer: `getOrSet` then goes on from its loaders. Close it when it is no longer needed.
 */
export async function createCache ({ limits: given = {}, namespace, redis, prefix = 'larder:cache', onFault }: CreateCacheOptions = {}): Promise<Cache> {
  const now = monotonicNow()
  const limits: Limits = { ...DEFAULT_LIMITS, ...given }
  const options = { now, limits, ...(namespace !== undefined && { namespace }), ...(onFault !== undefined && { onFault }) }
  if (redis === undefined) return new Cache({ ...options, store: new LocalStore({ now, limits }) })
  const backend = new RedisBackend({ client: redis, prefix, now })
  const store = new SharedStore({ backend, now, limits, ...(onFault !== undefined && { onFault }) })
  await store.open()
  return new Cache({ ...options, store })
}

export { Cache }
export type { Caller } from './caller.js'
export type { CacheOptions, CacheStatistics } from './cache.js'
export { decode, encode } from './encoding.js'
export type { Condition, DataType, EncodedValue, Entry, NewEntry, Strategy } from './entry.js'
export {
  BackendFullError, BackendUnavailableError, EntryTooLargeError, InvalidCursorError, InvalidLifetimeError, LeaseLostError, LoadTimeoutError,
  NotLoadedError, PreconditionFailedError, TooManyWaitersError, UnsupportedOperationError, WrongTypeError
} from './errors.js'
export type { OnFault } from './faults.js'
export type { Invalidation } from './ledger.js'
export { DEFAULT_LIMITS, type Limits } from './limits.js'
export { type GetOrSetOptions, type Loader, Ready, type StaleUse } from './get-or-set.js'
export type { ManyLoaded, ManyLoader, ManyOutcome } from './many.js'
export type { Reading, ReadingStatus } from './reading.js'
export type { Counters } from './statistics.js'
export type { Listing, ListQuery, MaybePromise, Usage } from './stores/store.js'
