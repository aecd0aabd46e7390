import t from 'tap'
import { MemoryBackend } from '../../../../services/cache/backends/memory.js'
import { encode } from '../../../../services/cache/encoding.js'
import { type EncodedValue, ENTRY_OVERHEAD, NO_TAGS, policyOf, sizeOf, STRATEGIES, type StoredEntry, type Strategy } from '../../../../services/cache/entry.js'
import { type Invalidation, Ledger } from '../../../../services/cache/ledger.js'
import { DEFAULT_LIMITS, type Limits } from '../../../../services/cache/limits.js'
import { heldMemory } from '../../../support/heap.js'
import { Random } from '../random.js'
import { ManualClock } from '../setup.js'
import { type Held, orders } from '../textbook.js'

function setUp (changes: Partial<Limits> = {}) {
  const clock = new ManualClock()
  const ledger = new Ledger()
  const memory = new MemoryBackend({ now: clock.now, ledger, limits: { ...DEFAULT_LIMITS, ...changes } })
  let version = 0
  const put = (key: string, facts: Partial<StoredEntry> = {}): number => memory.put({
    namespace: 'n',
    key,
    value: '1',
    dataType: 'json',
    tags: NO_TAGS,
    metadata: undefined,
    strategy: 'lru',
    createdAt: clock.at,
    accessedAt: clock.at,
    accessCount: 0,
    expiresAt: Infinity,
    goneAt: facts.expiresAt ?? Infinity,
    version: ++version,
    stamp: ledger.stamp,
    ...facts
  })
  const has = (key: string, namespace = 'n'): boolean => memory.find(namespace, key) !== -1
  const keys = async (namespace = 'n'): Promise<string[]> => {
    const { entries } = await memory.list(namespace, { limit: 1e9 })
    return entries.map(({ key }) => key).sort()
  }
  return { clock, ledger, memory, put, has, keys }
}

/** Bytes of an entry with a one-byte key and a value of so many. */
const small = (valueLength: number): number => ENTRY_OVERHEAD + 1 + valueLength

t.test('an entry comes back as it was put', async (t) => {
  const { clock, memory, put } = setUp()
  const facts = {
    value: Buffer.from('"é"'), dataType: 'string', tags: ['a', 'b'], metadata: '{"tags":["a","b"]}', strategy: 'fifo', expiresAt: clock.at + 5, goneAt: clock.at + 9
  } as const
  const slot = put('k', facts)
  clock.at += 1
  memory.touch(slot)
  t.strictSame(memory.entry(memory.find('n', 'k')), {
    ...facts,
    namespace: 'n',
    key: 'k',
    createdAt: clock.at - 1,
    accessedAt: clock.at,
    accessCount: 1,
    version: '0v1',
    size: sizeOf('k', facts.value, facts.tags, facts.metadata)
  })
})

for (const strategy of STRATEGIES) {
  t.test(`${strategy}: a trace gives the hits of the textbook`, async (t) => {
    const random = new Random()
    const capacity = 40
    const { clock, memory, put, has } = setUp({ maxItems: capacity })
    const order = orders[policyOf(strategy)]
    if (order === undefined) return
    const textbook = new Map<string, Held>()
    const differences: string[] = []
    let hits = 0
    for (let step = 1; step <= 8000; step++) {
      // Skewed, so that frequency, recency and age disagree.
      const key = `k${Math.floor(200 * random.next() ** 3)}`
      const expiresAt = clock.at + 1 + (key.length * 7919 + Number(key.slice(1)) * 104_729) % 1000
      const entry = textbook.get(key)
      if (has(key) !== (entry !== undefined)) differences.push(`${key} at ${step}`)
      const write = entry === undefined || random.chance(0.1)
      if (entry !== undefined) {
        hits++
        entry.uses++
        entry.used = step
        if (write) entry.written = step
      } else {
        if (textbook.size === capacity) {
          const [victim] = [...textbook].sort(([, a], [, b]) => order(a, b))[0] as [string, Held]
          textbook.delete(victim)
        }
        textbook.set(key, { slot: 0, uses: 1, used: step, written: step, expiresAt })
      }
      if (write) put(key, { strategy, expiresAt })
      else memory.touch(memory.find('n', key))
    }
    t.strictSame(differences.slice(0, 3), [], `seed ${random.seed}`)
    t.ok(hits > 1000 && hits < 7500, `${hits} hits`)
  })
}

t.test('limits hold after whatever happens, and what is there is what was written', async (t) => {
  const random = new Random()
  let step = 0
  const expect = (holds: boolean, what: string): void => { if (!holds) throw new Error(`${what}; step ${step}, seed ${random.seed}`) }
  const limits = (): Limits => ({ ...DEFAULT_LIMITS, maxItems: 1 + random.below(40), maxMemory: 600 + random.below(20_000) })
  let current = limits()
  const { clock, ledger, memory, put } = setUp(current)
  interface Model { value: string, expiresAt: number, goneAt: number, tags: string[] }
  const model = new Map<string, Model>()
  const namespaces = ['a', 'ab', '__proto__']
  const keys = Array.from({ length: 25 }, (_, at) => `k${at}`)
  const somewhere = (): [namespace: string, key: string, name: string] => {
    const namespace = random.pick(namespaces)
    const key = random.pick(keys)
    return [namespace, key, `${namespace} ${key}`]
  }
  const live = (name: string): Model | undefined => {
    const entry = model.get(name)
    return entry !== undefined && entry.goneAt > clock.at ? entry : undefined
  }

  const operations: (() => void | Promise<void>)[] = [
    function write () {
      const [namespace, key, name] = somewhere()
      const value = String(step).padEnd(random.below(random.chance(0.05) ? 9000 : 700), 'x')
      const expiresAt = random.chance(0.3) ? Infinity : clock.at + random.below(50)
      const tags = random.chance(0.5) ? [] : [random.pick(['t1', 't2']), random.pick(['t2', 't3'])]
      const metadata = random.chance(0.2) ? '{"m":1}' : undefined
      const entry = { value, expiresAt, goneAt: expiresAt + random.pick([0, 0, 30]), tags }
      const size = sizeOf(key, value, tags, metadata)
      const before = { items: memory.items, bytes: memory.bytes, ...memory.counters() }
      try {
        put(key, { ...entry, namespace, metadata, strategy: random.pick(STRATEGIES) })
        expect(size <= current.maxMemory, 'an entry larger than the limit was taken')
        model.set(name, entry)
        expect(entry.goneAt <= clock.at || memory.find(namespace, key) !== -1, 'what was just written is not there')
      } catch (error) {
        expect((error as { statusCode?: number }).statusCode === 413, String(error))
        expect(size > current.maxMemory, 'an entry that fits was refused')
        expect(JSON.stringify(before) === JSON.stringify({ items: memory.items, bytes: memory.bytes, ...memory.counters() }), 'a refused entry changed something')
      }
    },
    function remove () {
      const [namespace, key, name] = somewhere()
      memory.delete(namespace, key)
      model.delete(name)
    },
    function read () {
      const [namespace, key] = somewhere()
      const slot = memory.find(namespace, key)
      if (slot !== -1) memory.touch(slot)
    },
    function changeExpiry () {
      const [namespace, key, name] = somewhere()
      const slot = memory.find(namespace, key)
      if (slot === -1) return
      const expiresAt = clock.at + random.below(60)
      memory.expire(slot, expiresAt, expiresAt)
      Object.assign(model.get(name) as Model, { expiresAt, goneAt: expiresAt })
    },
    function wait () { clock.at += random.below(8) },
    function invalidate () {
      const namespace = random.pick(namespaces)
      const soft = random.chance(0.4)
      const tag = random.pick(['t1', 't2', 't3'])
      const what = random.pick<Invalidation>([{ tags: [tag], soft }, { tags: [tag], soft }, { pattern: `k${random.below(3)}*`, soft }, { all: true, soft }])
      ledger.record(namespace, what)
      for (const [name, entry] of model) {
        const [in_, key] = name.split(' ') as [string, string]
        const concerned = in_ === namespace && (what.all === true || (what.pattern === undefined ? entry.tags.includes(tag) : key.startsWith(what.pattern.slice(0, -1))))
        if (!concerned) continue
        if (soft && entry.goneAt !== entry.expiresAt) entry.expiresAt = Math.min(entry.expiresAt, clock.at)
        else model.delete(name)
      }
    },
    function configure () {
      if (!random.chance(0.2)) return
      current = limits()
      memory.configure(current)
    },
    async function sweep () { if (random.chance(0.2)) await memory.sweep() }
  ]

  for (step = 1; step <= 8000; step++) {
    await random.pick([operations[0]!, operations[0]!, operations[0]!, ...operations])()
    expect(memory.items <= current.maxItems, `${memory.items} entries of ${current.maxItems}`)
    expect(memory.bytes <= current.maxMemory, `${memory.bytes} bytes of ${current.maxMemory}`)
    if (step % 20 !== 0) continue
    let items = 0
    let bytes = 0
    for (const namespace of namespaces) {
      const usage = { items: 0, bytes: 0 }
      for (const key of keys) {
        const slot = memory.find(namespace, key)
        const expected = live(`${namespace} ${key}`)
        if (slot === -1) {
          model.delete(`${namespace} ${key}`) // evicted, or gone in the model, too
          continue
        }
        const entry = memory.entry(slot)
        expect(entry.key === key && entry.namespace === namespace, 'another entry answers')
        expect(expected !== undefined, `${namespace} ${key} is there though it has gone`)
        expect(entry.value === expected?.value, `${namespace} ${key} has another value`)
        expect(memory.isFresh(slot) === ((expected?.expiresAt ?? 0) > clock.at), `${namespace} ${key} is ${memory.isFresh(slot) ? 'fresh' : 'stale'}`)
        expect(entry.size === sizeOf(key, entry.value, entry.tags, entry.metadata), 'a size is wrong')
        usage.items++
        usage.bytes += entry.size
      }
      expect(JSON.stringify(memory.usage(namespace)) === JSON.stringify(usage), `the usage of ${namespace} is not the sum of its entries`)
      items += usage.items
      bytes += usage.bytes
    }
    expect(memory.items === items && memory.bytes === bytes, 'the totals are not the sums of the entries')
  }
  memory.reset()
  t.strictSame([memory.items, memory.bytes], [0, 0], `nothing is left after ${memory.counters().evictions} evictions and ${memory.counters().expirations} expirations`)
})

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

t.test('a quota is reserved: the others cannot take it, and its namespace cannot exceed it', async (t) => {
  const { memory, put, keys } = setUp({ maxItems: 10, quotas: new Map([['tenant', { maxItems: 3, maxMemory: 5 * small(1) }]]) })
  for (const key of ['a', 'b', 'c', 'd']) put(key, { namespace: 'tenant' })
  t.strictSame(await keys('tenant'), ['b', 'c', 'd'], 'its own went first')
  for (let at = 0; at < 20; at++) put(String(at).padStart(2, '0'))
  t.equal(memory.usage('n').items, 7, 'the others have what is left')
  t.strictSame(await keys('tenant'), ['b', 'c', 'd'])
  t.throws(() => put('large', { namespace: 'tenant', value: 'x'.repeat(5 * small(1)) }), { code: 'ERR_ENTRY_TOO_LARGE', message: /limit of/ })
  put('large', { namespace: 'tenant', value: 'x'.repeat(2 * small(1)) })
  t.strictSame(await keys('tenant'), ['d', 'large'], 'bytes count as well')
  t.strictSame([memory.counters('tenant').evictions, memory.counters('n').evictions], [3, 13])
  put('e', { namespace: 'tenant', strategy: 'fifo' })
  put('f', { namespace: 'tenant', strategy: 'fifo' })
  t.strictSame(await keys('tenant'), ['f', 'large'], 'a segment gives first within its pool')
  t.strictSame([memory.quota('tenant'), memory.quota('n')], [{ maxItems: 3, maxMemory: 5 * small(1) }, undefined])
})

t.test('quotas that are more than there is are refused, and change nothing', async (t) => {
  const quotas = new Map([['a', { maxItems: 6, maxMemory: 500 }], ['b', { maxItems: 4, maxMemory: 500 }]])
  t.throws(() => setUp({ maxItems: 9, quotas }), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422, message: /10 for max_items, more than the 9/ })
  const { memory, put, has } = setUp({ maxItems: 20 })
  put('k')
  t.throws(() => { memory.configure({ ...DEFAULT_LIMITS, maxItems: 20, maxMemory: 999, quotas }) }, { message: /1000 for max_memory, more than the 999/ })
  t.equal(memory.quota('a'), undefined)
  memory.configure({ ...DEFAULT_LIMITS, maxItems: 10, quotas })
  await memory.settled()
  t.notOk(has('k'), 'all may be reserved')
  t.throws(() => put('k'), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
  put('k', { namespace: 'a' })
})

t.test('a quota set later takes its namespace in, in the order of its use, and gives it back when it goes', async (t) => {
  const { clock, memory, put, keys } = setUp({ maxItems: 10 })
  const limits = { ...DEFAULT_LIMITS, maxItems: 10 }
  for (const key of ['a', 'b', 'c', 'd']) {
    clock.at++
    put(key, { namespace: 'tenant' })
  }
  clock.at++
  memory.touch(memory.find('tenant', 'a'))
  for (const key of ['1', '2', '3', '4']) put(key)
  memory.configure({ ...limits, quotas: new Map([['tenant', { maxItems: 3, maxMemory: 5000 }]]) })
  await memory.settled()
  t.strictSame(await keys('tenant'), ['a', 'c', 'd'], 'b was used longest ago')
  t.equal(memory.counters('n').evictions, 0)
  put('e', { namespace: 'tenant' })
  t.strictSame(await keys('tenant'), ['a', 'd', 'e'])
  memory.configure({ ...limits, quotas: new Map([['tenant', { maxItems: 1, maxMemory: 5000 }]]) })
  await memory.settled()
  t.strictSame(await keys('tenant'), ['e'], 'lower, at once')
  memory.configure(limits)
  await memory.settled()
  for (const key of ['f', 'g', 'h', 'i', 'j', 'k']) put(key, { namespace: 'tenant' })
  t.strictSame([memory.usage('tenant').items, memory.usage('n').items], [7, 3], 'and then the oldest of all goes first')
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

t.test('an entry is held against every invalidation, however many there have been', async (t) => {
  const { ledger, memory, put, has } = setUp()
  const namespace = ledger.namespace('n')
  put('old', { tags: ['a'] })
  put('kept')
  for (const revision of [7, 2 ** 32 - 1, 2 ** 32, 2 ** 33 + 5]) {
    namespace.add({ tags: ['other'] }, { stamp: 1, revision, soft: false, removed: 0 })
    t.ok(has('old') && has('kept'), `revision ${revision}`)
  }
  namespace.add({ tags: ['a'] }, { stamp: 1, revision: 2 ** 33 + 6, soft: false, removed: 0 })
  t.strictSame([has('old'), has('kept')], [false, true])
  put('late', { tags: ['a'] })
  t.notOk(has('late'), 'also against one that was there before it')
  memory.reset()
  t.notOk(has('kept'))
})

t.test('what has expired is dropped when it is asked for, and by a sweep', async (t) => {
  const { clock, memory, put, has } = setUp()
  put('asked', { expiresAt: clock.at + 10 })
  put('left', { expiresAt: clock.at + 10 })
  put('stale', { expiresAt: clock.at + 10, goneAt: clock.at + 20 })
  put('stays')
  clock.at += 9
  t.ok(has('asked'), 'a millisecond before')
  clock.at += 1
  t.notOk(has('asked'), 'at that time')
  t.equal(memory.items, 3, 'the other one is still held')
  t.ok(has('stale'))
  t.notOk(memory.isFresh(memory.find('n', 'stale')))
  t.notOk(memory.delete('n', 'stale'), 'a stale one counts as absent')
  await memory.sweep()
  t.equal(memory.items, 1)
  t.strictSame(memory.counters(), { evictions: 0, expirations: 2 })
  clock.advance(100 * 365 * 24 * 3600)
  t.ok(has('stays'))
})

t.test('a change of expiry is no use of the entry', async (t) => {
  for (const strategy of ['lru', 'lfu', 'fifo'] as const) {
    const { clock, memory, put, keys } = setUp({ maxItems: 2 })
    put('a', { strategy })
    put('b', { strategy })
    memory.expire(memory.find('n', 'a'), clock.at + 50, clock.at + 50)
    put('c', { strategy })
    t.strictSame(await keys(), ['b', 'c'], strategy)
  }
})

t.test('namespaces are apart, whatever their names', async (t) => {
  const { ledger, memory, put, has, keys } = setUp()
  const namespaces = ['a', 'ab', 'a.b', '', '__proto__', 'constructor', 'toString', 'A']
  for (const namespace of namespaces) {
    for (const key of ['__proto__', 'constructor', 'b', '']) put(key, { namespace, value: `"${namespace}|${key}"` })
  }
  for (const namespace of namespaces) {
    t.strictSame(await keys(namespace), ['', '__proto__', 'b', 'constructor'], namespace)
    for (const key of ['__proto__', 'constructor', 'b', '']) {
      t.equal(memory.entry(memory.find(namespace, key)).value, `"${namespace}|${key}"`)
    }
    t.notOk(has('valueOf', namespace))
  }
  for (const namespace of ['a', '__proto__']) {
    ledger.record(namespace, { all: true })
    t.strictSame(await keys(namespace), [], `${namespace} is cleared`)
  }
  for (const namespace of ['ab', 'a.b', 'constructor', 'A', '']) t.equal(memory.usage(namespace).items, 4, `${namespace} is not`)
  t.strictSame([memory.holds('a'), memory.holds('ab'), memory.usage('nowhere').items], [false, true, 0])
})

t.test('pages show each key once while others write, and their entries as they are', async (t) => {
  const { memory, put } = setUp({ maxItems: 100_000, maxMemory: 1e9 })
  const random = new Random()
  const count = 20_000
  for (let at = 0; at < count; at++) put(`stays:${at}`)
  for (let at = 0; at < 2000; at++) put(`goes:${at}`)
  const seen: string[] = []
  let cursor: string | undefined
  let churn = 0
  let wrong = 0
  do {
    const page = memory.list('n', { pattern: 'st?ys:*', limit: 1700, cursor })
    // Between the slices of the pass, slots change hands.
    for (let turn = 0; turn < 3; turn++) {
      for (let at = 0; at < 150; at++) {
        memory.delete('n', `goes:${random.below(2000)}`)
        put(`comes:${++churn}`)
        put(`stays:${random.below(count)}`, { value: '2' })
        memory.delete('n', `comes:${random.below(churn)}`)
      }
      await new Promise((resolve) => { setImmediate(resolve) })
    }
    const { entries, total, cursor: next } = await page
    if (total !== count) wrong++
    for (const { key } of entries) {
      if (!key.startsWith('stays:')) wrong++
      seen.push(key)
    }
    cursor = next
  } while (cursor !== undefined)
  t.equal(seen.length, count, `seed ${random.seed}`)
  t.equal(new Set(seen).size, count, 'none came twice')
  t.equal(wrong, 0)
})

t.test('a listing takes a pattern, a limit and an offset, and touches nothing', async (t) => {
  const { clock, memory, put } = setUp()
  for (let at = 0; at < 10; at++) put(`even:${at * 2}`)
  for (let at = 0; at < 10; at++) put(`odd:${at * 2 + 1}`)
  put('even:gone', { expiresAt: clock.at + 5 })
  put('even:stale', { expiresAt: clock.at + 5, goneAt: clock.at + 500 })
  clock.at += 5
  const first = await memory.list('n', { pattern: 'even:*', limit: 4 })
  t.strictSame([first.total, first.entries.length, typeof first.cursor], [10, 4, 'string'])
  t.strictSame(first.entries.map(({ accessCount, accessedAt }) => [accessCount, accessedAt]), Array(4).fill([0, clock.at - 5]))
  const second = await memory.list('n', { pattern: 'even:*', limit: 4, offset: 4 })
  const again = await memory.list('n', { pattern: 'even:*', limit: 4, cursor: first.cursor })
  t.strictSame(second.entries, again.entries, 'the offset and the cursor agree')
  t.strictSame(second.entries.map(({ key }) => key), ['even:8', 'even:10', 'even:12', 'even:14'])
  const last = await memory.list('n', { pattern: 'even:*', limit: 4, offset: 8 })
  t.strictSame([last.total, last.entries.length, last.cursor], [10, 2, undefined])
  t.strictSame(await memory.list('n', { limit: 4, offset: 100 }), { total: 20, entries: [], cursor: undefined })
  t.strictSame(await memory.list('nowhere', { limit: 4 }), { total: 0, entries: [], cursor: undefined })
  for (const cursor of ['_', '-1', 'ä', 'zzzzzzzzzz', 'A']) {
    await t.rejects(memory.list('n', { limit: 1, cursor }), { code: 'ERR_INVALID_CURSOR', statusCode: 400 }, cursor)
  }
})

t.test('a visit shows every entry once and touches nothing', async (t) => {
  const { clock, memory, put } = setUp({ maxItems: 10_000 })
  for (let at = 0; at < 5000; at++) put(`k${at}`, { namespace: at % 2 === 0 ? 'even' : 'odd', expiresAt: clock.at + at + 1 })
  memory.touch(memory.find('even', 'k42'))
  memory.delete('odd', 'k7')
  const seen = new Map<string, unknown>()
  await memory.visit(({ key, ...facts }) => { seen.set(key, facts) })
  t.equal(seen.size, 4999)
  t.strictSame(seen.get('k42'), { namespace: 'even', dataType: 'json', size: sizeOf('k42', '1', NO_TAGS, undefined), createdAt: clock.at, expiresAt: clock.at + 43, accessCount: 1 })
  t.equal(memory.entry(memory.find('even', 'k42')).accessCount, 1)
})

t.test('a sweep leaves the event loop to others', async (t) => {
  const { clock, memory, put } = setUp({ maxItems: 1e6, maxMemory: 1e9 })
  for (let at = 0; at < 600_000; at++) put(`k${at}`, { expiresAt: clock.at + (at % 2 === 0 ? 1 : 1e6) })
  clock.at += 10
  let turns = 0
  const counting = setInterval(() => { turns++ }, 0)
  await Promise.all([memory.sweep(), memory.sweep(), memory.sweep()])
  clearInterval(counting)
  t.equal(memory.items, 300_000)
  t.ok(turns > 3, `${turns} turns passed meanwhile`)
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
