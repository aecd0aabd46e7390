import type { Cache } from './cache.js'
import { BackendUnavailableError, UnsupportedOperationError } from './errors.js'

/** The caches behind the API, by backend. */
export class CacheRegistry {
  readonly defaultBackend: Cache['backend']
  #caches: Map<string, Cache>
  #refused: ReadonlyMap<string, () => Error>

  /** @param refused for backends that are built and cannot be used here: what to throw, which says why, and what to do */
  constructor (caches: readonly Cache[], defaultBackend: Cache['backend'], refused: ReadonlyMap<string, () => Error> = new Map()) {
    this.#refused = refused
    this.#caches = new Map(caches.map((cache) => [cache.backend, cache]))
    this.defaultBackend = defaultBackend
  }

  /**
   * @throws UnsupportedOperationError for one that there is not
   * @throws BackendUnavailableError for Redis and memcached when none is configured
   * @throws what stands for one that was refused at the start
   */
  get (backend: string): Cache {
    const cache = this.#caches.get(backend)
    if (cache !== undefined) return cache
    const refusal = this.#refused.get(backend)
    if (refusal !== undefined) throw refusal()
    if (backend === 'redis') throw new BackendUnavailableError('There is no Redis: set REDIS_URL and restart, or use the memory or database backend.')
    if (backend === 'memcached') throw new BackendUnavailableError('There is no memcached: set MEMCACHED_URL and restart, or use the memory or database backend.')
    throw new UnsupportedOperationError(`There is no backend "${backend}": use memory, redis, memcached, database or file.`)
  }

  /** Those that are configured. */
  all (): Cache[] { return [...this.#caches.values()] }
}
