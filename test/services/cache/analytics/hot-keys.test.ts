import t from 'tap'
import { HotKeys } from '../../../../services/cache/analytics/hot-keys.js'
import { SpaceSaving } from '../../../../services/cache/analytics/space-saving.js'
import { heldMemory } from '../../../support/heap.js'
import { Random } from '../random.js'
import { ManualClock } from '../setup.js'
import { zipfian } from './zipfian.js'

t.test('Space-Saving keeps the bounds of its paper', async (t) => {
  for (const exponent of [0.7, 0.99, 1.3]) {
    const random = new Random()
    const draw = zipfian(20_000, exponent, random)
    const table = new SpaceSaving(256)
    const exact = new Map<string, number>()
    let total = 0
    for (let i = 0; i < 60_000; i++) {
      const name = `k${draw()}`
      const weight = 1 + random.below(3)
      table.add(name, weight)
      exact.set(name, (exact.get(name) ?? 0) + weight)
      total += weight
    }
    const counted = new Map(table.counted().map((each) => [each.name, each]))
    t.equal(table.total, total)
    t.equal(counted.size, 256)
    t.equal([...counted.values()].reduce((sum, { count }) => sum + count, 0), total, 'the counts add up to everything')
    for (const { name, count, error } of counted.values()) {
      const truth = exact.get(name) ?? 0
      if (count < truth || count - error > truth || error > total / 256) t.fail(`${name}: ${truth} counted as ${count} ± ${error}, seed ${random.seed}`)
    }
    for (const [name, count] of exact) {
      if (count > total / 256 && !counted.has(name)) t.fail(`${name} makes up ${count} of ${total} and is missing, seed ${random.seed}`)
      if (!counted.has(name) && count > table.unseen) t.fail(`${name} came more often than what was not seen can have, seed ${random.seed}`)
    }
  }
})

t.test('a little traffic is counted exactly, by namespace', async (t) => {
  const hot = new HotKeys(new ManualClock().now)
  for (let i = 0; i < 30; i++) hot.note('a', 'often:1')
  for (let i = 0; i < 20; i++) hot.note('b', 'often:1')
  hot.note('a', 'once')
  const { keys, reads, sampled } = hot.report(10)
  t.strictSame(keys, [
    { namespace: 'a', key: 'often:1', reads: 30, error: 0 },
    { namespace: 'b', key: 'often:1', reads: 20, error: 0 },
    { namespace: 'a', key: 'once', reads: 1, error: 0 }
  ])
  t.equal(reads, 51)
  t.equal(sampled, 51)
  t.equal(hot.report(1).keys.length, 1)
  t.strictSame(hot.report(10, 'b').keys.map(({ key }) => key), ['often:1'])
  t.strictSame(hot.report(10, 'c').keys, [])
})

t.test('of much traffic a sample is counted up to what it stands for', async (t) => {
  const random = new Random()
  const hot = new HotKeys(new ManualClock().now)
  const draw = zipfian(50_000, 0.99, random)
  const exact = new Map<string, number>()
  const reads = 400_000
  for (let i = 0; i < reads; i++) {
    const key = `k${draw()}`
    hot.note('a', key)
    exact.set(key, (exact.get(key) ?? 0) + 1)
  }
  const report = hot.report(20)
  t.ok((report.sampled ?? NaN) < reads / 10, `${report.sampled} looked at`)
  t.ok(Math.abs(report.reads - reads) <= 64, `${report.reads} reads`)
  const top = [...exact].sort(([, a], [, b]) => b - a).slice(0, 10).map(([key]) => key)
  const told = report.keys.map(({ key }) => key)
  t.ok(top.every((key) => told.includes(key)), `the ten hottest are among the twenty told, seed ${random.seed}`)
  // Each is within its error in 95 of 100 cases: that six of the twenty are not is one case in ten thousand.
  const outside = report.keys.filter(({ key, reads, error }) => Math.abs(reads - (exact.get(key) ?? 0)) > error + 1)
  t.ok(outside.length < 6, `${JSON.stringify(outside)}, seed ${random.seed}`)
})

t.test('what was hot ten minutes ago is forgotten', async (t) => {
  const clock = new ManualClock()
  const hot = new HotKeys(clock.now)
  for (let i = 0; i < 100; i++) hot.note('a', 'yesterday')
  clock.advance(301)
  hot.turn()
  hot.note('a', 'today')
  t.strictSame(hot.report(10).keys.map(({ key }) => key), ['yesterday', 'today'], 'the window before still counts')
  t.equal(hot.report(10).window, 301)
  clock.advance(301)
  hot.turn()
  t.strictSame(hot.report(10).keys.map(({ key }) => key), ['today'])
  clock.advance(301)
  hot.turn()
  t.strictSame(hot.report(10), { window: 301, reads: 0, sampled: 0, keys: [] })
})

t.test('memory stays flat under a flood of distinct keys, however long they are', async (t) => {
  const clock = new ManualClock()
  const hot = new HotKeys(clock.now)
  const flood = (from: number): void => {
    for (let i = from; i < from + 300_000; i++) {
      if (i % 1000 === 0) hot.turn()
      hot.note(`space-${i % 5000}`, `${i}:${'x'.repeat(i % 3 === 0 ? 800 : 10)}`)
    }
  }
  flood(0)
  const before = await heldMemory()
  flood(300_000)
  const growth = await heldMemory() - before
  t.ok(growth < 500_000, `${growth} bytes`)
  for (let i = 0; i < 5000; i++) hot.note('a', 'really hot')
  t.match(hot.report(1).keys, [{ namespace: 'a', key: 'really hot' }], 'and a hot key is still found')
  t.ok(hot.report(100).keys.every(({ key }) => key.length < 400))
})
