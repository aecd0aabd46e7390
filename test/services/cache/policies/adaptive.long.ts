import t from 'tap'
import { trace, TRACES } from '../../../../bench/traces/generate.mjs'
import { AdaptivePolicy } from '../../../../services/cache/policies/adaptive.js'
import { FrequencySketch } from '../../../../services/cache/policies/frequency-sketch.js'
import { LruPolicy } from '../../../../services/cache/policies/lru.js'
import type { Policy } from '../../../../services/cache/policies/policy.js'
import { Regions } from '../../../../services/cache/policies/regions.js'
import { S3FifoPolicy } from '../../../../services/cache/policies/s3fifo.js'
import { Random } from '../random.js'
import { Bounded, difference, type Reference } from './bounded.js'

/** W-TinyLFU with a window that stays as it is. */
class FixedWindow implements Policy {
  readonly usesHash = true
  #sketch = new FrequencySketch()
  #regions: Regions

  constructor (window: number) { this.#regions = new Regions(this.#sketch, { window, fifo: false }) }

  admit (slot: number, _expiresAt: number, hash: number): void {
    this.#count(hash)
    this.#regions.admit(slot, hash)
  }

  touch (slot: number): void {
    this.#count(this.#regions.hashOf(slot))
    this.#regions.touch(slot)
  }

  replace (): void {}
  victim (): number { return this.#regions.victim() }
  forget (slot: number, evicted: boolean): void { this.#regions.forget(slot, evicted) }
  resize (capacity: number): void {
    this.#sketch.resize(capacity)
    this.#regions.resize(capacity)
  }

  #count (hash: number): void { this.#sketch.add(hash, 10 * Math.max(this.#regions.held, 64)) }
}

/** Hits of 100 accesses. */
function hitRatio (policy: Policy, keys: Int32Array, capacity: number): number {
  const cache = new Bounded(policy, capacity)
  let hits = 0
  for (const key of keys) if (cache.access(String(key))) hits++
  return 100 * hits / keys.length
}

for (const name of TRACES) {
  t.test(`${name}: adaptive is at most two points below the best of lru, s3fifo and W-TinyLFU`, async (t) => {
    const keys = trace(name, 150_000)
    for (const capacity of [100, 500, 1500]) {
      const others = {
        lru: hitRatio(new LruPolicy(), keys, capacity),
        s3fifo: hitRatio(new S3FifoPolicy(), keys, capacity),
        'W-TinyLFU': hitRatio(new FixedWindow(0.01), keys, capacity)
      }
      const hits = hitRatio(new AdaptivePolicy(), keys, capacity)
      const shown = Object.entries(others).map(([other, ratio]) => `${other} ${ratio.toFixed(1)}`).join(', ')
      t.ok(hits >= Math.max(...Object.values(others)) - 2, `${capacity} entries: ${hits.toFixed(1)}; ${shown}`)
    }
  })
}

t.test('with a window of everything it is lru', async (t) => {
  class Lru implements Reference {
    readonly evicted: string[] = []
    #keys = new Set<string>()
    access (key: string): boolean {
      const isHit = this.#keys.delete(key)
      if (!isHit && this.#keys.size === 50) {
        const [oldest] = this.#keys as Iterable<string> as [string]
        this.#keys.delete(oldest)
        this.evicted.push(oldest)
      }
      this.#keys.add(key)
      return isHit
    }

    delete (key: string): void { this.#keys.delete(key) }
  }
  const random = new Random()
  t.equal(difference(new FixedWindow(1), new Lru(), 50, random), undefined, `seed ${random.seed}`)
})

t.test('what is deleted leaves the trials, too', async (t) => {
  const random = new Random()
  const cache = new Bounded(new AdaptivePolicy(), 300)
  let present = 0
  for (let step = 0; step < 60_000; step++) {
    const key = String(Math.floor(2000 * random.next() ** 3))
    if (random.chance(0.3)) cache.delete(key)
    else if (cache.access(key)) present++
  }
  t.ok(present > 1000, `${present} hits, seed ${random.seed}`)
})
