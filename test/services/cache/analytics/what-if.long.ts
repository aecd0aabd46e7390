import t from 'tap'
import { Cache } from '../../../../services/cache/cache.js'
import { DEFAULT_LIMITS, type Limits } from '../../../../services/cache/limits.js'
import { Sketches } from '../../../../services/cache/analytics/sketches.js'
import { SIZE_FACTORS, WhatIf, type WhatIfReport } from '../../../../services/cache/analytics/what-if.js'
import { LocalStore } from '../../../../services/cache/stores/local-store.js'
import { heldMemory } from '../../../support/heap.js'
import { Random } from '../random.js'
import { entryOf, ManualClock } from '../setup.js'
import { zipfian } from './zipfian.js'

/** A cache whose accesses are followed. */
function followed (t: { after: (end: () => Promise<void>) => unknown }, changes: Partial<Limits> = {}) {
  const clock = new ManualClock()
  const limits = { ...DEFAULT_LIMITS, ...changes }
  const store = new LocalStore({ now: clock.now, limits })
  const sketches = new Sketches(clock.now)
  const cache = new Cache({ store, now: clock.now, limits, observer: sketches })
  const whatIf = new WhatIf(clock.now, () => cache.limits, () => cache.memoryUsage)
  sketches.whatIf = whatIf
  t.after(async () => { await cache.close() })
  /** A caller who stores what he does not find. */
  const use = (key: string, value: unknown = 1, tags: string[] = []): boolean => {
    if (cache.get('a', key) !== undefined) return true
    void cache.set('a', key, entryOf(value, { tags }))
    return false
  }
  return { cache, clock, whatIf, use }
}

const rates = (report: WhatIfReport | undefined): number[] => (report?.points ?? []).map(({ hitRate }) => hitRate)

t.test('there is no answer before there is enough to rest on', async (t) => {
  const { whatIf, use } = followed(t)
  for (let i = 0; i < 900; i++) use(`k${i % 10}`)
  t.equal(whatIf.report(), undefined)
})

t.test('where every key is followed, the curve is the textbook\'s', async (t) => {
  // Round and round over 300 keys: lru has nothing of them with room for fewer, and all of them with room for as many.
  const { whatIf, use } = followed(t, { maxItems: 150 })
  for (let i = 0; i < 50_000; i++) use(`k${i % 300}`)
  const report = whatIf.report()
  t.match(report, { strategy: 'lru', actualHitRate: 0, samplingRate: 1, sampledKeys: 300 })
  t.strictSame(report?.points.map(({ factor, maxItems, maxMemory }) => [factor, maxItems, maxMemory]), [
    [0.5, 75, 52428800], [1, 150, 104857600], [2, 300, 209715200], [4, 600, 419430400]
  ])
  t.strictSame(rates(report), [0, 0, 100, 100])
})

t.test('a smaller cache is refilled by what the real one finds', async (t) => {
  const { whatIf, use } = followed(t, { maxItems: 200 })
  for (let i = 0; i < 50_000; i++) use(`k${i % 100}`)
  t.match(whatIf.report(), { actualHitRate: 100 })
  t.strictSame(rates(whatIf.report()), [100, 100, 100, 100])
  const { whatIf: other, use: read } = followed(t, { maxItems: 100 })
  for (let i = 0; i < 50_000; i++) read(`k${i % 100}`)
  t.strictSame(rates(other.report()), [0, 100, 100, 100], 'with half the room a loop of 100 keys is never found')
})

t.test('bytes limit the trials as they limit the cache', async (t) => {
  const { whatIf, use, cache } = followed(t, { maxItems: 1_000_000, maxMemory: 400_000 })
  const text = 'x'.repeat(1700)
  for (let i = 0; i < 40_000; i++) use(`k${i % 300}`, text)
  t.ok(cache.memoryUsage.items < 250, `${cache.memoryUsage.items} fit`)
  whatIf.turn()
  for (let i = 0; i < 40_000; i++) use(`k${i % 300}`, text)
  t.strictSame(rates(whatIf.report()), [0, 0, 100, 100])
})

t.test('what was deleted, invalidated or is over is found at no size', async (t) => {
  const { whatIf, cache, clock, use } = followed(t, { maxItems: 100, defaultTtl: 60 })
  const ways: ((round: number) => unknown)[] = [
    () => { for (let i = 0; i < 50; i++) void cache.delete('a', `k${i}`) },
    () => cache.invalidate('a', { tags: ['all'] }),
    () => cache.invalidate('a', { pattern: 'k*' }),
    () => cache.clear('a'),
    () => { clock.advance(61) }
  ]
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < 50; i++) use(`k${i}`, 1, ['all'])
    await ways[round % ways.length]?.(round)
    if (round % 100 === 50) whatIf.turn()
  }
  t.match(whatIf.report(), { actualHitRate: 0 })
  t.strictSame(rates(whatIf.report()), [0, 0, 0, 0])
})

t.test('a time to live that is renewed is renewed at every size', async (t) => {
  const { whatIf, cache, clock, use } = followed(t, { maxItems: 100, defaultTtl: 60 })
  for (let round = 0; round < 1000; round++) {
    for (let i = 0; i < 20; i++) {
      use(`k${i}`)
      await cache.touch('a', `k${i}`, 60)
    }
    clock.advance(40)
  }
  // But for the first time.
  t.ok(rates(whatIf.report()).every((rate) => rate > 99 && rate < 100), rates(whatIf.report()).join(', '))
})

t.test('it begins anew when the limits or the strategy change', async (t) => {
  const { whatIf, cache, use } = followed(t, { maxItems: 150 })
  for (let i = 0; i < 3000; i++) use(`k${i % 100}`)
  t.match(whatIf.report(), { strategy: 'lru', points: [{ maxItems: 75 }] })
  cache.configure({ strategy: 'sieve' })
  t.equal(whatIf.report(), undefined)
  for (let i = 0; i < 3000; i++) use(`k${i % 100}`)
  t.match(whatIf.report(), { strategy: 'sieve' })
  cache.configure({ maxItems: 100_000, maxMemory: 2 ** 40 })
  t.equal(whatIf.report(), undefined)
  for (let i = 0; i < 250_000; i++) use(`k${i % 50_000}`)
  const report = whatIf.report()
  t.ok(report !== undefined && report.samplingRate < 0.01 && report.sampledKeys < 600, JSON.stringify(report))
})

t.test('without limits there are no other sizes, and as soon as there is one there are', async (t) => {
  const { whatIf, cache, use } = followed(t, { maxItems: Infinity, maxMemory: Infinity })
  for (let i = 0; i < 3000; i++) use(`k${i % 100}`)
  t.equal(whatIf.report(), undefined)
  cache.configure({ maxItems: 200 })
  whatIf.turn()
  for (let i = 0; i < 3000; i++) use(`k${i % 100}`)
  t.match(whatIf.report(), { points: [{ maxItems: 100, maxMemory: Infinity }] })
})

t.test('on Zipf\'s law a sample tells what caches of these sizes do at the same time', async (t) => {
  const random = new Random()
  const { whatIf, use } = followed(t, { maxItems: 4000 })
  const others = SIZE_FACTORS.map((factor) => ({ ...followed(t, { maxItems: 4000 * factor }), found: new Uint8Array(100_000) }))
  const draw = zipfian(40_000, 0.99, random)
  for (let i = 0; i < 100_000; i++) {
    const key = `k${draw()}`
    use(key)
    for (const other of others) other.found[i] = other.use(key) ? 1 : 0
  }
  const report = whatIf.report()
  t.ok(report !== undefined && report.samplingRate < 0.5)
  for (const [at, rate] of rates(report).entries()) {
    const reads = report?.reads ?? 0
    const real = (others[at]?.found.subarray(-reads).reduce((sum, found) => sum + found, 0) ?? NaN) / reads * 100
    t.ok(Math.abs(rate - real) < 3, `${rate} for ${real}, seed ${random.seed}`)
  }
})

t.test('memory stays flat under a flood of distinct keys, tags and namespaces', async (t) => {
  const { whatIf, cache } = followed(t, { maxItems: 100 })
  const flood = (from: number): void => {
    for (let i = from; i < from + 100_000; i++) {
      const namespace = `space-${i % 2000}`
      void cache.get(namespace, `k${i}`)
      void cache.set(namespace, `k${i}`, entryOf(1, { tags: [`t${i}`] }))
      if (i % 5 === 0) whatIf.invalidated(namespace, { tags: [`t${i}`] })
    }
    whatIf.turn()
  }
  flood(0)
  const before = await heldMemory()
  flood(100_000)
  const growth = await heldMemory() - before
  t.ok(growth < 1_000_000, `${growth} bytes`)
})
