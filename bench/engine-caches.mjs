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
