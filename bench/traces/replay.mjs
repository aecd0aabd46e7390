// From dist/, which has to be built before this is imported.
import { Cache } from '../../dist/services/cache/cache.js'
import { monotonicNow } from '../../dist/services/cache/clock.js'
import { STRATEGIES } from '../../dist/services/cache/entry.js'
import { DEFAULT_LIMITS } from '../../dist/services/cache/limits.js'
import { LocalStore } from '../../dist/services/cache/stores/local-store.js'

export { STRATEGIES }

/** Hits of the real cache, on memory, that keeps what it did not find. */
export function replay (trace, maxItems, strategy) {
  const now = monotonicNow()
  const limits = { ...DEFAULT_LIMITS, maxItems, maxMemory: 2 ** 40, strategy }
  const cache = new Cache({ store: new LocalStore({ now, limits }), now, limits })
  let hits = 0
  for (const number of trace) {
    const key = `key:${number}`
    if (cache.get('bench', key) !== undefined) hits++
    else cache.set('bench', key, { value: '1', dataType: 'number', ttl: ttlOf(number) })
  }
  cache.close()
  return hits
}

/** An hour or more, by the key, for the policy that goes by it; nothing expires meanwhile. */
function ttlOf (number) { return 3600 + number * 7919 % 3600 }
