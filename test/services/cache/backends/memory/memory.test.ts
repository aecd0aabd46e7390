import t from 'tap'
import { policyOf, sizeOf, STRATEGIES } from '../../../../../services/cache/entry.js'
import type { Invalidation } from '../../../../../services/cache/ledger.js'
import { DEFAULT_LIMITS, type Limits } from '../../../../../services/cache/limits.js'
import { Random } from '../../random.js'
import { type Held, orders } from '../../textbook.js'
import { setUp } from './setup.js'

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

t.test('an entry is held against every invalidation, however many there have been', async (t) => {
  const { ledger, memory, put, has } = setUp()
  const namespace = ledger.namespace('n')
  put('old', { tags: ['a'] })
  put('kept')
  for (const revision of [7, 2 ** 32 - 1, 2 ** 32, 2 ** 33 + 5]) {
    namespace.add({ tags: ['other'] }, { stamp: 1, revision, soft: false, removed: 0, outdated: 0 })
    t.ok(has('old') && has('kept'), `revision ${revision}`)
  }
  namespace.add({ tags: ['a'] }, { stamp: 1, revision: 2 ** 33 + 6, soft: false, removed: 0, outdated: 0 })
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
