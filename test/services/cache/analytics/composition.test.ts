import t from 'tap'
import { compose, type EntryFacts, type EntrySample } from '../../../../services/cache/analytics/composition.js'
import { Reservoir } from '../../../../services/cache/analytics/reservoir.js'
import { drawSample } from '../../../../services/cache/analytics/sampling.js'
import { BackendUnavailableError } from '../../../../services/cache/errors.js'
import { Random } from '../random.js'
import { entryOf, localCache } from '../setup.js'

function draw (entries: readonly EntryFacts[], size: number, random: Random): EntrySample {
  const reservoir = new Reservoir<EntryFacts>(size, () => random.next())
  let bytes = 0
  for (const entry of entries) {
    bytes += entry.size
    const at = reservoir.offer()
    if (at !== -1) reservoir.items[at] = entry
  }
  return { entries: reservoir.items, items: reservoir.seen, bytes, source: 'memory', isComplete: true }
}

t.test('each item is as likely to be drawn as any other', async (t) => {
  const random = new Random()
  const drawn = new Float64Array(1000)
  for (let round = 0; round < 2000; round++) {
    const reservoir = new Reservoir<number>(50, () => random.next())
    for (let item = 0; item < 1000; item++) {
      const at = reservoir.offer()
      if (at !== -1) reservoir.items[at] = item
    }
    t.equal(reservoir.seen, 1000)
    if (new Set(reservoir.items).size !== 50) t.fail('fifty different ones')
    for (const item of reservoir.items) drawn[item]!++
  }
  // 100 times each on average, with a standard deviation of 10. By hundreds, so that a bias shows.
  for (let start = 0; start < 1000; start += 100) {
    const mean = drawn.subarray(start, start + 100).reduce((sum, count) => sum + count, 0) / 100
    t.ok(Math.abs(mean - 100) < 5, `${start}: ${mean}, seed ${random.seed}`)
  }
})

t.test('fewer than the sample holds are all there', async (t) => {
  const reservoir = new Reservoir<number>(10)
  for (let item = 0; item < 7; item++) reservoir.items[reservoir.offer()] = item
  t.strictSame(reservoir.items, [0, 1, 2, 3, 4, 5, 6])
})

t.test('a sample of all is exact', async (t) => {
  const { cache, store, clock } = localCache(t)
  await cache.set('a', 'user:1', entryOf({ name: 'x' }, { ttl: 60 }))
  await cache.set('a', 'user:2', entryOf('text', { dataType: 'string', ttl: 0 }))
  await cache.set('b', 'plain', entryOf(5, { dataType: 'number', ttl: 7200 }))
  await cache.set('b', 'gone', entryOf(5, { dataType: 'number', ttl: 10 }))
  clock.advance(30)
  const sample = await drawSample(store, undefined, 100, clock.at)
  const all = await compose(sample, 10)
  const sizes = { one: sizeIn('a', 'user:1'), two: sizeIn('a', 'user:2'), plain: sizeIn('b', 'plain') }
  t.strictSame(all.sample, { items: 3, bytes: sizes.one + sizes.two + sizes.plain, source: 'memory', isComplete: true, size: 3 })
  t.strictSame(all.byPrefix, [
    { prefix: 'user', items: 2, itemsError: 0, bytes: sizes.one + sizes.two, bytesError: 0 },
    { prefix: undefined, items: 1, itemsError: 0, bytes: sizes.plain, bytesError: 0 }
  ])
  t.match(all.byDataType.map(({ dataType, items }) => [dataType, items]).sort(), [['json', 1], ['number', 1], ['string', 1]])
  t.equal(all.ttl.never, 1)
  t.strictSame(all.ttl.buckets.filter(({ given, left }) => given > 0 || left > 0), [
    { from: 10, to: 60, given: 0, left: 1 }, { from: 60, to: 300, given: 1, left: 0 }, { from: 3600, to: 21600, given: 1, left: 1 }
  ])
  const other = await compose(await drawSample(store, 'b', 100, clock.at), 10)
  t.strictSame(other.byPrefix.map(({ prefix }) => prefix), [undefined], 'nothing of the other namespace')
  t.equal(other.sample.bytes, sizes.plain)
  t.match(await compose(await drawSample(store, 'c', 100, clock.at), 10), { sample: { items: 0, size: 0 }, byPrefix: [], byDataType: [], otherPrefixes: { bytes: 0 } })

  function sizeIn (namespace: string, key: string): number {
    const found = cache.peek(namespace, key)
    return found === undefined || found instanceof Promise ? NaN : found.size
  }
})

t.test('of many entries a sample is scaled to all, within the error that it states', async (t) => {
  const random = new Random()
  const entries = Array.from({ length: 60_000 }, (_, i): EntryFacts => ({
    key: `p${Math.floor(40 * random.next() ** 2)}:${i}`,
    dataType: random.chance(0.3) ? 'json' : 'string',
    size: Math.floor(300 + 3000 * random.next() ** 4),
    lifetime: random.chance(0.1) ? Infinity : 1000 * 10 ** (1 + random.below(5)),
    left: 1000
  }))
  let [claims, right] = [0, 0]
  const holds = (estimate: number, error: number, truth: number): void => {
    claims++
    if (Math.abs(estimate - truth) <= error + 1) right++
  }
  for (let round = 0; round < 12; round++) {
    const { byDataType, byPrefix, otherPrefixes, sample, ttl } = await compose(draw(entries, 2000, random), 10)
    t.equal(sample.size, 2000)
    t.equal(byPrefix.length, 10)
    t.equal(otherPrefixes.prefixes, 30)
    const total = (parts: { bytes: number }[]): number => parts.reduce((sum, { bytes }) => sum + bytes, 0)
    t.ok(Math.abs(total([...byPrefix, otherPrefixes]) - sample.bytes) < 20, 'the parts add up to all')
    for (const { dataType, items, itemsError, bytes, bytesError } of byDataType) {
      const members = entries.filter((entry) => entry.dataType === dataType)
      holds(items, itemsError, members.length)
      holds(bytes, bytesError, members.reduce((sum, { size }) => sum + size, 0))
    }
    for (const { prefix, items, itemsError, bytes, bytesError } of byPrefix) {
      const members = entries.filter(({ key }) => key.startsWith(`${prefix}:`))
      holds(items, itemsError, members.length)
      holds(bytes, bytesError, members.reduce((sum, { size }) => sum + size, 0))
    }
    t.ok(Math.abs(ttl.never - 6000) < 1500)
  }
  // 95 of 100, give or take; claims of one round are not independent of each other.
  t.ok(right / claims > 0.88, `${right} of ${claims}, seed ${random.seed}`)
})

t.test('a backend that is down is sampled where this process holds some of it', async (t) => {
  const { cache, store, clock } = localCache(t)
  await cache.set('a', 'k', entryOf(1))
  async function * scan (): AsyncIterable<[]> {
    yield []
    throw new BackendUnavailableError('It is down.')
  }
  t.match(await drawSample({ memory: store.memory, scan }, undefined, 10, clock.at), { source: 'memory_tier', items: 1 })
  async function * broken (): AsyncIterable<[]> {
    yield []
    throw new TypeError('A mistake.')
  }
  await t.rejects(drawSample({ memory: store.memory, scan: broken }, undefined, 10, clock.at), TypeError)
})
