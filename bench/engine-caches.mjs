import { createCache } from 'async-cache-dedupe'
import { BentoCache, bentostore } from 'bentocache'
import { memoryDriver } from 'bentocache/drivers/memory'
import { LRUCache } from 'lru-cache'
import { Cache } from '../dist/services/cache/cache.js'
import { monotonicNow } from '../dist/services/cache/clock.js'
import { LocalStore } from '../dist/services/cache/stores/local-store.js'

const TTL = 3600

/** Larder's engine on memory, as plugins/cache.ts makes it. */
export function larder (maxItems) {
  const now = monotonicNow()
  const limits = { maxItems, maxMemory: 2 ** 40, defaultTtl: TTL, cleanupInterval: 300, strategy: 'lru' }
  return new Cache({ store: new LocalStore({ now, limits }), now, limits, namespace: 'app' })
}

/** lru-cache with what Larder always has: a bound in bytes and a TTL. */
export function lruCache (max, sizeOf) {
  return new LRUCache({ max, ttl: TTL * 1000, maxSize: 2 ** 40, sizeCalculation: sizeOf })
}

/** The same that loads what it does not have. */
export function lruCacheFetching (max, load) {
  return new LRUCache({ max, ttl: TTL * 1000, maxSize: 2 ** 40, sizeCalculation: () => 100, fetchMethod: load })
}

/**
 * async-cache-dedupe as its README sets it up for memory, with what it has of tags. It knows no bytes, and its statistics are
 * what its user counts.
 * @param load what brings the value of a key
 */
export function asyncCacheDedupe (size, load) {
  const counts = { hits: 0, misses: 0 }
  const cache = createCache({
    ttl: TTL,
    storage: { type: 'memory', options: { size, invalidation: true } },
    onHit: () => { counts.hits++ },
    onMiss: () => { counts.misses++ }
  })
  cache.define('product', { references: () => ['products'] }, load)
  return cache
}

/**
 * BentoCache with memory alone. As it comes it keeps text and can bound it in bytes; with `shared` it keeps the objects
 * themselves (its option `serialize: false`), which it says is the fastest, and which leaves no bound in bytes.
 */
export function bentoCache (maxItems, { shared }) {
  const driver = shared ? memoryDriver({ maxItems, serialize: false }) : memoryDriver({ maxItems, maxSize: 2 ** 40 })
  return new BentoCache({ default: 'memory', ttl: TTL * 1000, stores: { memory: bentostore().useL1Layer(driver) } })
}
