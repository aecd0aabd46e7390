import t, { type Test } from 'tap'
import { decode, encode } from '../../../../services/cache/encoding.js'
import type { Cache } from '../../../../services/cache/cache.js'
import { type DurableStrategy, type NewEntry, sizeOf } from '../../../../services/cache/entry.js'
import type { DurableTier } from '../../../../services/cache/tiers/tier.js'
import { eventually } from '../../../support/caches.js'
import { type DurableCache, type DurableCacheOptions, openConnections, openDurableCache } from '../../../support/durable-caches.js'

const NS = 'default'
const entry = (value: unknown, strategy?: NewEntry['strategy'], more: Partial<NewEntry> = {}): NewEntry => ({ value: encode(value), dataType: 'json', strategy, ...more })
const valueIn = async (cache: Cache, key: string): Promise<unknown> => {
  const found = await cache.get(NS, key)
  return found === undefined ? undefined : decode(found.value)
}
const keysIn = async (cache: Cache, pattern?: string): Promise<string[]> =>
  (await cache.list(NS, { limit: 1000, pattern })).entries.map(({ key }) => key).sort()
const settled = async ({ store }: DurableCache): Promise<void> => {
  await eventually(() => store.durability?.length === 0 && store.durability.sweeps === 0, 'everything is in the tier')
}

const connections = await openConnections(t)
const openDurable = async (t: Test, options: DurableCacheOptions = {}): Promise<DurableCache> => await openDurableCache(t, { connections, ...options })
/** Tells what is asked of the tier. */
const counting = (calls: string[]) => (tier: DurableTier): DurableTier => new Proxy(tier, {
  get: (target, name) => {
    const member = Reflect.get(target, name) as unknown
    if (typeof member !== 'function') return member
    return (...given: unknown[]): unknown => {
      calls.push(String(name))
      return Reflect.apply(member, target, given)
    }
  }
})

for (const strategy of ['write_through', 'write_behind'] as const) {
  t.test(`${strategy}, over the database`, async (t) => { await everything(t, strategy, {}) })
  t.test(`${strategy}, over files`, async (t) => { await everything(t, strategy, { connections: undefined }) })
}

async function everything (t: Test, strategy: DurableStrategy, tier: DurableCacheOptions): Promise<void> {
  const open = async (t: Test, options: DurableCacheOptions = {}): Promise<DurableCache> => await openDurable(t, { ...tier, ...options })
  const restart = async (t: Test, { cache, folder }: DurableCache, options: DurableCacheOptions = {}): Promise<DurableCache> => {
    await cache.close()
    return await open(t, { folder, ...options })
  }

  t.test('an entry is found when memory has let go of it, and after a restart', async (t) => {
    const opened = await open(t, { limits: { maxItems: 2 } })
    const { cache, store, faults } = opened
    for (let i = 0; i < 10; i++) await cache.set(NS, `k${i}`, entry(i, strategy, { tags: ['a', `t${i}`], metadata: '{"m":1}' }))
    t.equal(store.memory.items, 2)
    for (let i = 0; i < 10; i++) t.equal(await valueIn(cache, `k${i}`), i)
    t.match(await cache.get(NS, 'k3'), { strategy, tags: ['a', 't3'], metadata: '{"m":1}' })
    const again = await restart(t, opened)
    for (let i = 0; i < 10; i++) t.equal(await valueIn(again.cache, `k${i}`), i)
    t.match(await again.cache.get(NS, 'k3'), { strategy, tags: ['a', 't3'], metadata: '{"m":1}' })
    t.strictSame([...faults, ...again.faults], [])
  })

  t.test('the last of many values of a key is the one that stays', async (t) => {
    const opened = await open(t)
    for (let i = 0; i < 50; i++) await opened.cache.set(NS, 'k', entry(i, strategy))
    await Promise.all(Array.from({ length: 50 }, async (_, i) => await opened.cache.set(NS, 'k', entry(50 + i, strategy))))
    t.equal(await valueIn(opened.cache, 'k'), 99)
    t.equal(await valueIn((await restart(t, opened)).cache, 'k'), 99)
  })

  t.test('the cache is one: evicted entries are listed, counted, touched, incremented, and held against conditions', async (t) => {
    const opened = await open(t, { limits: { maxItems: 3 } })
    const { cache } = opened
    const sizes = []
    for (let i = 0; i < 9; i++) sizes.push((await cache.set(NS, `k${i}`, entry(i, strategy))).size)
    await cache.set(NS, 'plain', entry('p', 'lru'))
    const keys = [...Array.from({ length: 9 }, (_, i) => `k${i}`), 'plain']
    t.strictSame(await keysIn(cache), keys)
    t.strictSame(await keysIn(cache, 'k[0-3]'), keys.slice(0, 4))
    t.match(await cache.statistics(NS), { items: 10, bytes: sizes.reduce((sum, size) => sum + size, 0) + sizeOf('plain', '"p"', [], undefined) })
    t.match(await cache.statistics(), { items: 10 })

    const paged: string[] = []
    for (let cursor: string | undefined; ;) {
      const page = await cache.list(NS, { limit: 3, cursor })
      t.equal(page.total, 10)
      paged.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
      if (cursor === undefined) break
    }
    t.strictSame(paged.sort(), keys)

    const dumped: string[] = []
    for await (const entries of cache.dump(NS)) dumped.push(...entries.map(({ key, value }) => `${key}=${String(decode(value))}`))
    t.strictSame(dumped.sort(), [...Array.from({ length: 9 }, (_, i) => `k${i}=${i}`), 'plain=p'])

    t.strictSame((await cache.getMany(NS, ['k0', 'none', 'k5', 'plain', 'k0'])).map((found) => found && decode(found.value)), [0, undefined, 5, 'p', 0])
    t.match(await cache.peek(NS, 'k1'), { key: 'k1' })
    t.equal(await cache.peek(NS, 'none'), undefined)

    const before = (await cache.peek(NS, 'k2'))!.version
    await t.rejects(cache.set(NS, 'k2', entry('x', strategy), { absent: true }) as Promise<unknown>, { code: 'ERR_PRECONDITION_FAILED' })
    await t.rejects(cache.set(NS, 'k2', entry('x', strategy), { version: '1v1' }) as Promise<unknown>, { code: 'ERR_PRECONDITION_FAILED' })
    await cache.set(NS, 'k2', entry('x', strategy), { version: before })
    await t.rejects(cache.delete(NS, 'k2', { version: before }) as Promise<unknown>, { code: 'ERR_PRECONDITION_FAILED' })
    t.equal(await cache.delete(NS, 'k2', { version: (await cache.peek(NS, 'k2'))!.version }), true)
    await cache.set(NS, 'k2', entry('anew', strategy), { absent: true })

    await cache.set(NS, 'n', { ...entry(5, strategy), dataType: 'number' })
    for (let i = 0; i < 5; i++) await cache.set(NS, `push${i}`, entry(i))
    t.match(await cache.increment(NS, 'n', 2), { value: '7', strategy })
    const sums = await Promise.all(Array.from({ length: 20 }, async () => Number((await cache.increment(NS, 'n', 1)).value)))
    t.strictSame(sums.sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => 8 + i))

    const touched = (await cache.touch(NS, 'k0', 5000))!
    t.ok(touched.expiresAt - cache.now > 4_990_000)
    const again = await restart(t, opened)
    t.equal(await valueIn(again.cache, 'k2'), 'anew')
    t.equal(await valueIn(again.cache, 'n'), 27)
    t.ok((await again.cache.peek(NS, 'k0'))!.expiresAt - again.cache.now > 4_980_000, 'the TTL given by a touch outlives the process')
    t.equal(await valueIn(again.cache, 'plain'), undefined, 'an ordinary entry does not')
  })

  const ways: Array<[name: string, remove: (cache: Cache) => Promise<number>]> = [
    ['a delete', async (cache) => Number(await cache.delete(NS, 'k'))],
    ['a tag', async (cache) => await cache.invalidate(NS, { tags: ['t'] })],
    ['a pattern', async (cache) => await cache.invalidate(NS, { pattern: 'k*' })],
    ['a clear', async (cache) => await cache.clear(NS)]
  ]
  for (const [name, remove] of ways) {
    for (const where of ['in memory', 'evicted', 'after a restart'] as const) {
      t.test(`${name} reaches an entry that is ${where}, and it does not come back`, async (t) => {
        let opened = await open(t, { limits: { maxItems: 2 } })
        await opened.cache.set('other', 'k', entry('other', strategy, { tags: ['t'] }))
        await opened.cache.set(NS, 'k', entry(1, strategy, { tags: ['t'] }))
        if (where === 'evicted') for (const key of ['a', 'b']) await opened.cache.set('third', key, entry(0, 'lru'))
        if (where === 'after a restart') opened = await restart(t, opened, { limits: { maxItems: 2 } })
        t.equal(await remove(opened.cache), 1)
        t.equal(await valueIn(opened.cache, 'k'), undefined)
        t.strictSame(await keysIn(opened.cache), [])
        t.equal((await opened.cache.statistics(NS)).items, 0)
        t.equal(await remove(opened.cache), 0)
        await opened.cache.statistics()
        opened = await restart(t, opened)
        t.equal(await valueIn(opened.cache, 'k'), undefined)
        t.strictSame(await keysIn(opened.cache), [])
        t.match(await opened.cache.get('other', 'k'), { value: '"other"' }, 'another namespace keeps its own')
        // What is written afterwards stays.
        await opened.cache.set(NS, 'k', entry(2, strategy, { tags: ['t'] }))
        await opened.cache.close()
        t.equal(await valueIn((await restart(t, opened)).cache, 'k'), 2)
      })
    }
  }

  t.test('an invalidation concerns what the entry is now, not what it was', async (t) => {
    const opened = await open(t, { limits: { maxItems: 1 } })
    const { cache } = opened
    await cache.set(NS, 'k', entry(1, strategy, { tags: ['old'] }))
    await settled(opened)
    await cache.set(NS, 'k', entry(2, strategy, { tags: ['new'] }))
    t.equal(await cache.invalidate(NS, { tags: ['old'] }), 0)
    t.equal(await valueIn(cache, 'k'), 2)
    t.equal(await cache.invalidate(NS, { tags: ['new'] }), 1)
    await settled(opened)
    t.equal(await valueIn((await restart(t, opened)).cache, 'k'), undefined, 'the first value does not come back either')
  })

  t.test('an ordinary entry takes the place of a durable one, and the reverse', async (t) => {
    const opened = await open(t, { limits: { maxItems: 1 } })
    await opened.cache.set(NS, 'k', entry('durable', strategy))
    await settled(opened)
    await opened.cache.set(NS, 'k', entry('plain', 'fifo'))
    t.match(await opened.cache.get(NS, 'k'), { value: '"plain"', strategy: 'fifo' })
    await opened.cache.set(NS, 'push', entry(0, 'lru'))
    t.equal(await valueIn(opened.cache, 'k'), undefined, 'the one it replaced is not found behind it')
    await opened.cache.set(NS, 'k', entry('plain', 'lru'))
    await opened.cache.set(NS, 'k', entry('again', strategy))
    const again = await restart(t, opened)
    t.equal(await valueIn(again.cache, 'k'), 'again')
  })

  t.test('both strategies may take turns on one key', async (t) => {
    const opened = await open(t, { limits: { maxItems: 1 } })
    for (let i = 0; i < 40; i++) {
      await opened.cache.set(NS, 'k', entry(i, i % 3 === 0 ? 'write_behind' : 'write_through'))
      if (i % 5 === 0) await opened.cache.set(NS, 'push', entry(i))
      t.equal(await valueIn(opened.cache, 'k'), i)
    }
    t.equal(await valueIn((await restart(t, opened)).cache, 'k'), 39)
  })

  t.test('an entry lives as long as it is to, wherever it is', async (t) => {
    let ahead = 0
    const at = Date.now()
    const now = (): number => at + ahead
    const opened = await open(t, { now, limits: { maxItems: 1 } })
    await opened.cache.set(NS, 'k', entry(1, strategy, { ttl: 10 }))
    await opened.cache.set(NS, 'push', entry(0))
    ahead = 9000
    t.equal(await valueIn(opened.cache, 'k'), 1)
    await opened.cache.set(NS, 'push', entry(0))
    ahead = 11_000
    t.equal(await valueIn(opened.cache, 'k'), undefined)
    t.strictSame(await keysIn(opened.cache), ['push'])
    const again = await restart(t, opened, { now })
    t.equal(await valueIn(again.cache, 'k'), undefined)
  })

  t.test('what is larger than memory is refused, and changes nothing', async (t) => {
    const opened = await open(t, { limits: { maxMemory: 2000 } })
    await opened.cache.set(NS, 'k', entry(1, strategy))
    await t.rejects(opened.cache.set(NS, 'k', entry('x'.repeat(3000), strategy)) as Promise<unknown>, { code: 'ERR_ENTRY_TOO_LARGE' })
    t.equal(await valueIn(opened.cache, 'k'), 1)
    t.equal(await valueIn((await restart(t, opened)).cache, 'k'), 1)
  })

  t.test('any key and any value comes back as it was', async (t) => {
    const opened = await open(t)
    const keys = ['\u0000', '\ud800', ' ', "'; --", '"', '{"k":1}', 'a:b', 'é', '\u{1F600}', '"'.repeat(1000), 'é'.repeat(500)]
    const values: unknown[] = [null, 0, -1.5e300, '', false, 'é漢\u{1F600}\u2028\u0000"\\', '\ud800', [], {}, 'x'.repeat(100_000), 'é'.repeat(50_000)]
    for (const [at, key] of keys.entries()) await opened.cache.set(NS, key, entry(values[at], strategy, { tags: ['\ud800'], metadata: '{"é":"\\u0000"}' }))
    const again = await restart(t, opened)
    for (const [at, key] of keys.entries()) t.same(await valueIn(again.cache, key), values[at], JSON.stringify(key).slice(0, 20))
    t.strictSame(await keysIn(again.cache), [...keys].sort())
  })
}

t.test('without durable entries nothing waits for the tier', async (t) => {
  const calls: string[] = []
  const { cache } = await openDurable(t, { around: counting(calls) })
  t.notOk(cache.set(NS, 'k', entry(1)) instanceof Promise)
  t.notOk(cache.get(NS, 'none') instanceof Promise)
  t.notOk(cache.delete(NS, 'k') instanceof Promise)
  t.notOk(cache.getMany(NS, ['k', 'none']) instanceof Promise)
  await cache.clear(NS)
  await cache.statistics()
  await cache.list(NS, { limit: 10 })
  t.strictSame(calls, [])
})

t.test('beside durable entries, ordinary ones and names that never were durable do not wait for the tier', async (t) => {
  const calls: string[] = []
  const opened = await openDurable(t, { around: counting(calls) })
  const { cache } = opened
  await cache.set(NS, 'durable', entry(1, 'write_through'))
  calls.length = 0
  const waits = Array.from({ length: 1000 }, (_, i) => {
    const set = cache.set(NS, `k${i}`, entry(i))
    return set instanceof Promise || cache.get(NS, `k${i}`) instanceof Promise || cache.get(NS, `none${i}`) instanceof Promise
  }).filter(Boolean).length
  t.ok(waits < 50, `${waits} of 1000 keys waited`)
  await cache.list('elsewhere', { limit: 10 })
  await cache.clear('elsewhere')
  t.notOk(calls.includes('scan'))
})

t.test('reads of a turn go to the tier together, and those of one key are one', async (t) => {
  const calls: string[] = []
  const opened = await openDurable(t, { around: counting(calls), limits: { maxItems: 1 } })
  for (let i = 0; i < 20; i++) await opened.cache.set(NS, `k${i}`, entry(i, 'write_through'))
  calls.length = 0
  const keys = Array.from({ length: 19 }, (_, i) => `k${i}`)
  const found = await Promise.all([...keys, ...keys].map(async (key) => await valueIn(opened.cache, key)))
  t.strictSame(found, [...keys, ...keys].map((key) => Number(key.slice(1))))
  t.strictSame(calls, ['getMany'])
})

t.test('a dump and a list miss nothing that moves between memory and the tier meanwhile', async (t) => {
  let meanwhile = async (): Promise<void> => {}
  const scanning = (tier: DurableTier): DurableTier => new Proxy(tier, {
    get: (target, name) => {
      if (name === 'scan') {
        return async function * (namespace: string | undefined): ReturnType<DurableTier['scan']> {
          yield * target.scan(namespace)
          await meanwhile()
        }
      }
      const member = Reflect.get(target, name) as unknown
      return typeof member === 'function' ? (...given: unknown[]): unknown => Reflect.apply(member, target, given) : member
    }
  })
  const opened = await openDurable(t, { limits: { maxItems: 1200 }, around: scanning })
  const { cache } = opened
  const keys = Array.from({ length: 1500 }, (_, i) => `k${i}`)
  for (const key of keys) void cache.set(NS, key, entry(key, 'write_behind'))
  await eventually(() => opened.store.durability !== undefined, 'it is open')
  await cache.set(NS, 'k1499', entry('k1499', 'write_behind'))
  await settled(opened)
  await cache.get(NS, 'k1499')
  const dumped = new Set<string>()
  for await (const entries of cache.dump(NS)) {
    for (const { key } of entries) dumped.add(key)
    // Into the places of others, which the dump is through with.
    if (dumped.size < 1300) await cache.getMany(NS, keys.slice(0, 100))
  }
  t.strictSame([...dumped].sort(), [...keys].sort())

  await cache.getMany(NS, keys.slice(0, 300))
  meanwhile = async () => { await cache.getMany(NS, keys.slice(600, 900)) }
  t.equal((await cache.list(NS, { limit: 2000 })).total, 1500)
})

t.test('a folder has one process', async (t) => {
  const opened = await openDurable(t)
  await opened.cache.set(NS, 'k', entry(1, 'write_through'))
  const second = await openDurable(t, { folder: opened.folder })
  t.match(second.faults, [{ code: 'ERR_DATA_DIR_LOCKED' }])
  t.match(second.store.refusal, { code: 'ERR_DATA_DIR_LOCKED' })
  const { cache } = second
  const refused: Record<string, () => unknown> = {
    'a durable write': () => cache.set(NS, 'k', entry(2, 'write_behind')),
    'a write over what may be durable': () => cache.set(NS, 'k', entry(2)),
    'a deletion': () => cache.delete(NS, 'k'),
    'deletions of several': () => cache.deleteMany(NS, ['k', 'l']),
    'an invalidation': () => cache.invalidate(NS, { tags: ['t'] }),
    'a clear': () => cache.clear(NS),
    'an increment': () => cache.increment(NS, 'n', 1),
    'a touch': () => cache.touch(NS, 'k', 5),
    'a read': () => cache.get(NS, 'k'),
    'reads of several': () => cache.getMany(NS, ['k', 'l']),
    'a lease': () => cache.getOrLease(NS, 'k', 1000),
    'a list': () => cache.list(NS, { limit: 5 }),
    statistics: () => cache.statistics(NS)
  }
  for (const [what, act] of Object.entries(refused)) await t.rejects((async () => await act())(), { code: 'ERR_DATA_DIR_LOCKED' }, what)
  t.equal(second.faults.length, 1, 'what stays as it is, is reported once')
  await opened.cache.close()
  await eventually(() => second.store.refusal === undefined, 'it has the folder')
  t.equal(await valueIn(second.cache, 'k'), 1)
  await second.cache.set(NS, 'k2', entry(3, 'write_behind'))
  t.equal(await valueIn(second.cache, 'k2'), 3, 'and durable ones as soon as the other is gone')
})
