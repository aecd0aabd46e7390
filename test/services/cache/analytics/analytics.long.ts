import t from 'tap'
import { trace } from '../../../../bench/traces/generate.mjs'
import { Analytics } from '../../../../services/cache/analytics/analytics.js'
import { Sketches } from '../../../../services/cache/analytics/sketches.js'
import { SIZE_FACTORS, WhatIf } from '../../../../services/cache/analytics/what-if.js'
import { Cache } from '../../../../services/cache/cache.js'
import type { Strategy } from '../../../../services/cache/entry.js'
import { DEFAULT_LIMITS, type Limits } from '../../../../services/cache/limits.js'
import { LocalStore } from '../../../../services/cache/stores/local-store.js'
import { heldMemory } from '../../../support/heap.js'
import { entryOf, ManualClock } from '../setup.js'

function open (changes: Partial<Limits>, sketches?: Sketches) {
  const { now } = new ManualClock()
  const limits = { ...DEFAULT_LIMITS, maxMemory: 2 ** 40, ...changes }
  const store = new LocalStore({ now, limits })
  const cache = new Cache({ store, now, limits, observer: sketches })
  const use = (key: string): number => {
    if (cache.get('a', key) !== undefined) return 1
    void cache.set('a', key, { value: '1', dataType: 'number' })
    return 0
  }
  return { cache, store, use, now }
}

const READS = 300_000

for (const name of ['zipf 0.99', 'scans', 'shifting', 'loop']) {
  t.test(`${name}: the curve is within four points, on average, of caches that are really run at those sizes, and nowhere off by more than eight`, async (t) => {
    const keys = trace(name, READS, 3)
    for (const strategy of ['lru', 'lfu', 'fifo', 's3fifo', 'adaptive'] as Strategy[]) {
      const maxItems = 2000
      const sketches = new Sketches(new ManualClock().now)
      const present = open({ maxItems, strategy }, sketches)
      const whatIf = new WhatIf(present.now, () => present.cache.limits, () => present.cache.memoryUsage)
      sketches.whatIf = whatIf
      const others = SIZE_FACTORS.map((factor) => ({ ...open({ maxItems: maxItems * factor, strategy }), found: new Uint8Array(READS) }))
      for (const [at, number] of keys.entries()) {
        const key = `k${number}`
        present.use(key)
        for (const { use, found } of others) found[at] = use(key)
      }
      const report = whatIf.report()
      t.ok(report !== undefined && report.samplingRate < 0.4)
      const reads = report?.reads ?? 0
      const real = others.map(({ found }) => 100 * found.subarray(-reads).reduce((sum, hit) => sum + hit, 0) / reads)
      const told = report?.points.map(({ hitRate }) => hitRate) ?? []
      const shown = `${strategy}: ${told.map((rate) => rate.toFixed(1)).join(' ')} for ${real.map((rate) => rate.toFixed(1)).join(' ')}`
      const errors = told.map((rate, at) => Math.abs(rate - (real[at] as number)))
      // Which keys are sampled differs from process to process; next to the edge of a loop a few more or less of them tell.
      t.ok(errors.reduce((sum, error) => sum + error, 0) <= 4 * errors.length && Math.max(...errors) <= 8, shown)
      for (const { cache } of [present, ...others]) await cache.close()
    }
  })
}

t.test('memory stays flat under ten million distinct keys', async (t) => {
  const clock = new ManualClock()
  const sketches = new Sketches(clock.now)
  const { cache, store } = open({ maxItems: 1000 }, sketches)
  const analytics = new Analytics({ cache, store, sketches })
  t.teardown(async () => {
    analytics.close()
    await cache.close()
  })
  const flood = (from: number, to: number): void => {
    for (let i = from; i < to; i++) {
      const namespace = `n${i % 20_000}`
      sketches.miss(namespace, `key:${i}`)
      sketches.written({ namespace, key: `key:${i}`, value: '1', tags: [], metadata: undefined, createdAt: 0, expiresAt: Infinity })
      if (i % 1000 === 0) sketches.hotKeys.turn()
    }
  }
  flood(0, 1_000_000)
  const before = await heldMemory()
  flood(1_000_000, 10_000_000)
  const growth = await heldMemory() - before
  t.ok(growth < 1_000_000, `${growth} bytes more`)
  t.ok((await analytics.report(100)).hotKeys.keys.length <= 100)
})

t.test('a million entries are looked at without blocking the event loop', async (t) => {
  const sketches = new Sketches(new ManualClock().now)
  const { cache, store } = open({ maxItems: 2_000_000 }, sketches)
  const analytics = new Analytics({ cache, store, sketches })
  t.teardown(async () => {
    analytics.close()
    await cache.close()
  })
  for (let i = 0; i < 1_000_000; i++) void cache.set(i % 10 === 0 ? 'b' : 'a', `p${i % 300}:${i}`, entryOf(i % 5 === 0 ? 'text' : i))
  let isDone = false
  let longest = 0
  let turns = 0
  let last = process.cpuUsage()
  // In processor time, since the machine may be doing something else meanwhile.
  const watch = (): void => {
    const { user, system } = process.cpuUsage(last)
    longest = Math.max(longest, (user + system) / 1000)
    turns++
    last = process.cpuUsage()
    if (!isDone) setImmediate(watch)
  }
  setImmediate(watch)
  const report = await analytics.report(10)
  isDone = true
  t.ok(turns >= 3, `others had ${turns} turns`)
  t.ok(longest < 60, `${longest} ms of processor time, of all threads, between two of them`)
  const { sample, byPrefix, otherPrefixes } = report.composition
  t.equal(sample.items, 1_000_000)
  t.equal(sample.size, 4096)
  t.equal(byPrefix.length, 10)
  t.equal(otherPrefixes.prefixes, 290)
  const { composition } = await analytics.report(10, 'b')
  t.equal(composition.sample.items, 100_000)
})
