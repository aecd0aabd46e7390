import t from 'tap'
import { encode } from '../../../../../services/cache/encoding.js'
import type { EncodedValue, Strategy } from '../../../../../services/cache/entry.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { heldMemory } from '../../../../support/heap.js'
import { setUp, small } from './setup.js'

t.test('an entry larger than the limit is refused and evicts nothing', async (t) => {
  const { memory, put, keys } = setUp({ maxMemory: 1000 })
  put('a')
  put('b')
  t.throws(() => put('c', { value: 'x'.repeat(1000) }), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 })
  t.throws(() => put('a', { value: 'x'.repeat(1000) }), { code: 'ERR_ENTRY_TOO_LARGE' })
  t.strictSame(await keys(), ['a', 'b'])
  t.equal(memory.entry(memory.find('n', 'a')).value, '1', 'what was there stays')
  put('c', { value: 'x'.repeat(1000 - small(0)) })
  t.strictSame(await keys(), ['c'], 'one that just fits takes all')
  t.equal(memory.bytes, 1000)
})

t.test('the segment that was just written gives first, then the largest', async (t) => {
  const { put, keys } = setUp({ maxItems: 4 })
  const write = (key: string, strategy: Strategy): void => { put(key, { strategy }) }
  write('a', 'lru')
  write('b', 'lru')
  write('c', 'fifo')
  write('d', 'lfu')
  write('e', 'fifo')
  t.strictSame(await keys(), ['a', 'b', 'd', 'e'], 'fifo gave for fifo')
  write('f', 'ttl')
  t.strictSame(await keys(), ['b', 'd', 'e', 'f'], 'an empty segment takes from the largest')
})

t.test('an entry that grows evicts others, not itself, and keeps its standing', async (t) => {
  const { memory, put, keys } = setUp({ maxMemory: 3 * small(10) })
  for (const key of ['a', 'b', 'c']) put(key, { value: 'x'.repeat(10) })
  put('a', { value: 'x'.repeat(20) })
  t.strictSame(await keys(), ['a', 'c'], 'b was the oldest')
  put('a', { value: 'x'.repeat(10) })
  t.equal(memory.bytes, 2 * small(10), 'shrinking gives bytes back')

  const lfu = setUp({ maxMemory: 3 * small(10) })
  for (const key of ['a', 'b', 'c']) lfu.put(key, { value: 'x'.repeat(10), strategy: 'lfu' })
  for (const key of ['a', 'a', 'a', 'b', 'c']) lfu.memory.touch(lfu.memory.find('n', key))
  lfu.put('a', { value: 'x'.repeat(20), strategy: 'lfu' })
  t.strictSame(await lfu.keys(), ['a', 'c'])
  lfu.put('d', { value: 'x'.repeat(30), strategy: 'lfu' })
  t.strictSame(await lfu.keys(), ['a', 'd'], 'the much used a did not become a newcomer by growing')
})

t.test('an entry moves to the segment of the strategy it is written with', async (t) => {
  const { memory, put, keys } = setUp({ maxItems: 3 })
  for (const key of ['a', 'b', 'c']) put(key, { strategy: 'fifo' })
  put('a', { strategy: 'lru' })
  t.equal(memory.entry(memory.find('n', 'a')).strategy, 'lru')
  put('d', { strategy: 'fifo' })
  t.strictSame(await keys(), ['a', 'c', 'd'], 'fifo has forgotten it')
  put('e', { strategy: 'lru' })
  t.strictSame(await keys(), ['c', 'd', 'e'], 'lru has it')
  for (const key of ['c', 'd', 'e']) t.ok(memory.delete('n', key))
  t.strictSame([memory.items, memory.bytes], [0, 0])
})

t.test('lower limits are met at once', async (t) => {
  const { memory, put, keys } = setUp()
  for (const key of ['a', 'b', 'c', 'd', 'e']) put(key)
  memory.configure({ ...DEFAULT_LIMITS, maxItems: 3 })
  t.strictSame(await keys(), ['c', 'd', 'e'])
  memory.configure({ ...DEFAULT_LIMITS, maxMemory: small(1) })
  t.strictSame(await keys(), ['e'])
  t.equal(memory.counters().evictions, 4)
  memory.configure(DEFAULT_LIMITS)
  put('f')
  t.strictSame(await keys(), ['e', 'f'], 'and higher ones leave what is there')
})

t.test('lower limits are reached in slices, and meanwhile no write makes more of what is too much', async (t) => {
  const { memory, put, has } = setUp({ maxItems: 1e6, maxMemory: 1e9 })
  const count = 100_000
  for (let at = 0; at < count; at++) put(`k${at}`)
  memory.configure({ ...DEFAULT_LIMITS, maxItems: 10, maxMemory: 1e9 })
  let most = memory.items
  t.ok(most > 10, 'there is more to do than fits into a slice')
  const reached = new AbortController()
  const reaching = memory.settled().then(() => { reached.abort() })
  let turns = 0
  for (; !reached.signal.aborted; turns++) {
    put(`new ${turns}`)
    t.ok(has(`new ${turns}`))
    if (memory.items > most) t.fail(`${memory.items} after ${most}`)
    most = memory.items
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  await reaching
  t.ok(turns > 1)
  t.equal(memory.items, 10)
})

t.test('the bytes counted are honest', async (t) => {
  const inMiB = (bytes: number): string => `${(bytes / 2 ** 20).toFixed(1)} MiB`

  await t.test('many large entries through a small limit keep memory flat', async (t) => {
    const maxMemory = 20 * 2 ** 20
    const { memory, put } = setUp({ maxItems: 1e6, maxMemory })
    const before = await heldMemory()
    for (let at = 0; at < 10_000; at++) {
      put(`k${at}`, { value: encode(`${at % 2 === 0 ? 'é' : 'e'}${at}`.padEnd(at % 2 === 0 ? 100_000 : 10_000, 'x')) })
    }
    const growth = await heldMemory() - before
    t.ok(growth > maxMemory * 0.7 && growth < maxMemory * 1.3 + 4 * 2 ** 20, `${inMiB(growth)} for ${inMiB(memory.bytes)}`)
  })

  // Bytes are an object of their own, a text is not.
  const kinds: [name: string, encoded: (at: number) => EncodedValue, slack: number][] = [
    ['ASCII', (at) => encode(`value ${at}`), 1.5], ['other', (at) => encode(`é ${at}`), 2]
  ]
  for (const [name, encoded, slack] of kinds) {
    await t.test(`a hundred thousand entries of short ${name} text`, async (t) => {
      const before = await heldMemory()
      const { memory, put } = setUp({ maxItems: 1e6, maxMemory: 1e9 })
      for (let at = 0; at < 100_000; at++) {
        put(`a key of some length:${at}`, { value: encoded(at) })
        // What else goes on in the process must not be kept alive by a small value beside it.
        for (let other = 0; other < 5; other++) Buffer.from(`something short-lived ${other}`)
      }
      const growth = await heldMemory() - before
      t.ok(growth < memory.bytes * slack, `${inMiB(growth)} for ${inMiB(memory.bytes)}`)
    })
  }
})
