import type { Cache } from './cache.js'
import { BackendUnavailableError, UnsupportedOperationError } from './errors.js'

/** Backends of the API that are still to be built. */
const NOT_BUILT = ['memcached', 'file']

/** The caches behind the API, by backend. */
export class CacheRegistry {
  readonly defaultBackend: Cache['backend']
  #caches: Map<string, Cache>

  constructor (caches: readonly Cache[], defaultBackend: Cache['backend']) {
    this.#caches = new Map(caches.map((cache) => [cache.backend, cache]))
    this.defaultBackend = defaultBackend
  }

  /**
   * @throws UnsupportedOperationError for a backend that is not built yet
   * @throws BackendUnavailableError for Redis when none is configured
   */
  get (backend: string): Cache {
    const cache = this.#caches.get(backend)
    if (cache !== undefined) return cache
    if (backend === 'redis') throw new BackendUnavailableError('There is no Redis: set REDIS_URL and restart, or use the memory or database backend.')
    if (NOT_BUILT.includes(backend)) throw new UnsupportedOperationError(`The ${backend} backend is not built yet: use memory, redis or database.`)
    throw new UnsupportedOperationError(`There is no backend "${backend}": use memory, redis or database.`)
  }

  /** Those that are configured. */
  all (): Cache[] { return [...this.#caches.values()] }
}
