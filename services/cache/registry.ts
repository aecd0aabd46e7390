import type { Cache } from './cache.js'
import { BackendUnavailableError, UnsupportedOperationError } from './errors.js'

/** The caches behind the API, by backend. */
export class CacheRegistry {
  readonly defaultBackend: Cache['backend']
  #caches: Map<string, Cache>
  #refused: ReadonlyMap<string, string>

  /** @param refused why backends that are built cannot be used here, and what to do */
  constructor (caches: readonly Cache[], defaultBackend: Cache['backend'], refused: ReadonlyMap<string, string> = new Map()) {
    this.#refused = refused
    this.#caches = new Map(caches.map((cache) => [cache.backend, cache]))
    this.defaultBackend = defaultBackend
  }

  /**
   * @throws UnsupportedOperationError for one that there is not
   * @throws BackendUnavailableError for Redis and memcached when none is configured, and for what was refused at the start
   */
  get (backend: string): Cache {
    const cache = this.#caches.get(backend)
    if (cache !== undefined) return cache
    const why = this.#refused.get(backend)
    if (why !== undefined) throw new BackendUnavailableError(why)
    if (backend === 'redis') throw new BackendUnavailableError('There is no Redis: set REDIS_URL and restart, or use the memory or database backend.')
    if (backend === 'memcached') throw new BackendUnavailableError('There is no memcached: set MEMCACHED_URL and restart, or use the memory or database backend.')
    throw new UnsupportedOperationError(`There is no backend "${backend}": use memory, redis, memcached, database or file.`)
  }

  /** Those that are configured. */
  all (): Cache[] { return [...this.#caches.values()] }
}
