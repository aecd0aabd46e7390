import type { Cache } from '../cache/cache.js'
import type { Content } from './sample.js'
import type { Reading } from './reading.js'

/** Milliseconds between two questions to a backend about what is in it, at least; and how many times as long as the answer took. */
const PAUSE = 2000
const SHARE = 20

interface Asked {
  usage: { items: number, bytes: number } | undefined
  isAsking: boolean
  /** When it may be asked again, in milliseconds. */
  notBefore: number
}

/**
 * What is in each cache. Memory tells at once; what several processes share is asked in the background, however long that takes, and
 * so seldom that it is no burden: one that has to go through all of its entries is asked for a twentieth of the time.
 */
export class Contents {
  readonly #caches: readonly { name: string, cache: Cache }[]
  readonly #asked = new Map<string, Asked>()
  readonly #now: () => number

  constructor (caches: readonly { name: string, cache: Cache }[], now: () => number) {
    this.#caches = caches
    this.#now = now
  }

  /** @param reading where the memory of all processes is told of */
  read (reading: Reading): Content[] {
    const processes = reading.sum('larder_processes') ?? 1
    return this.#caches.map(({ name, cache }) => {
      const { maxItems, maxMemory } = cache.limits
      if (cache.backend === 'memory') {
        return {
          name,
          entries: reading.sum('larder_cache_memory_entries', ['backend', name]),
          bytes: reading.sum('larder_cache_memory_bytes', ['backend', name]),
          // Each process has a memory, and keeps to the limits, by itself.
          maxItems: maxItems * processes,
          maxMemory: maxMemory * processes
        }
      }
      const usage = this.#asked.get(name)?.usage
      return { name, entries: usage?.items, bytes: usage?.bytes, maxItems, maxMemory }
    })
  }

  /** Asks those whose time it is. */
  refresh (): void {
    for (const { name, cache } of this.#caches) {
      if (cache.backend === 'memory') continue
      const asked = this.#asked.get(name) ?? { usage: undefined, isAsking: false, notBefore: -Infinity }
      this.#asked.set(name, asked)
      if (!asked.isAsking && this.#now() >= asked.notBefore) void this.#ask(cache, asked)
    }
  }

  async #ask (cache: Cache, asked: Asked): Promise<void> {
    const begun = this.#now()
    asked.isAsking = true
    // One that is down is shown as that, by its part and its breaker.
    asked.usage = await cache.statistics().catch(() => undefined)
    asked.isAsking = false
    asked.notBefore = this.#now() + Math.max(PAUSE, SHARE * (this.#now() - begun))
  }
}
