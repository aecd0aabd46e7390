import t from 'tap'
import { decode } from '../../../../../services/cache/encoding.js'
import type { Scripted } from '../../../../../services/cache/backends/redis/scripts.js'
import { sizeOf, type Strategy } from '../../../../../services/cache/entry.js'
import type { Limits } from '../../../../../services/cache/limits.js'
import { eventually, openSharedCache, type SharedCache } from '../../../../support/caches.js'
import { type Owner, redisUrl } from '../../../../support/servers.js'
import { entryOf as entry, Gate } from '../../setup.js'

const NS = 'default'
const INDEX = 'larder:test:index'
const keysIn = async ({ cache }: SharedCache, namespace = NS): Promise<string[]> => (await cache.list(namespace, { limit: 1000 })).entries.map(({ key }) => key)

/** Caches on one Redis, each with limits of its own to begin with. */
async function opener (owner: Owner): Promise<(limits?: Partial<Limits>) => Promise<SharedCache>> {
  const url = await redisUrl(owner)
  return async (limits) => {
    const opened = await openSharedCache(owner, url, { deadline: 5000 })
    if (limits !== undefined) await limited(opened, limits)
    return opened
  }
}

/** Gives a cache limits; there are none but these. Settles when they hold. */
async function limited ({ cache, client, backend }: SharedCache, { maxItems = Infinity, maxMemory = Infinity, ...more }: Partial<Limits>): Promise<void> {
  cache.configure({ maxItems, maxMemory, ...more })
  await eventually(async () => {
    const usage = await backend.usage()
    return await client.hget(INDEX, 'state') === 'complete' && usage !== undefined && usage.items <= maxItems && usage.bytes <= maxMemory
  }, 'the limits hold')
}

/** What the index says, and what there is: they have to be the same. */
async function totals ({ backend, client, cache }: SharedCache): Promise<{ items: number, bytes: number, orders: number }> {
  const told = await backend.usage() ?? { items: NaN, bytes: NaN }
  const found = new Map<string, number>()
  for await (const entries of backend.scan(undefined)) {
    for (const { namespace, key } of entries) found.set(`${namespace}:${key}`, (await cache.peek(namespace, key))?.size ?? NaN)
  }
  const bytes = [...found.values()].reduce((sum, size) => sum + size, 0)
  const sets = (await client.keys(`${INDEX}:*`)).filter((name) => /:(lru|lfu|fifo|ttl)(:|$)/.test(name))
  const orders = (await Promise.all(sets.map(async (name) => await client.zcard(name)))).reduce((sum, each) => sum + each, 0)
  t.strictSame(told, { items: found.size, bytes }, 'the index counts what there is')
  t.equal(orders, found.size, 'each entry is in one order')
  t.equal(await client.hlen(`${INDEX}:entries`), found.size)
  return { ...told, orders }
}

t.test('reads count for the very next write of their process', async (t) => {
  const open = await opener(t)
  for (const strategy of ['lru', 'lfu'] as const) {
    const opened = await open({ maxItems: 3, strategy })
    const { cache } = opened
    await cache.clear(NS)
    for (const key of ['a', 'b', 'c']) await cache.set(NS, key, entry(key))
    for (const [read, written, left] of [['ab', 'd', 'abd'], ['bdd', 'e', 'bde'], ['eee', 'f', 'def']] as const) {
      for (const key of read) await cache.get(NS, key)
      await cache.set(NS, written, entry(written))
      t.strictSame(await keysIn(opened), [...left], strategy)
    }
  }
})

t.test('limits evict by', async (t) => {
  const open = await opener(t)
  const orders: [strategy: Strategy, left: string[]][] = [
    ['lru', ['a', 'c', 'd']], ['lfu', ['a', 'c', 'd']], ['fifo', ['b', 'c', 'd']], ['ttl', ['a', 'b', 'd']]
  ]
  const watcher = await open()
  for (const [strategy, left] of orders) {
    t.test(strategy, async (t) => {
      const opened = await open({ maxItems: 3, strategy })
      const { cache, client } = opened
      for (const [key, ttl] of [['a', 50], ['b', 60], ['c', 40]] as const) await cache.set(NS, key, entry(key, { ttl }))
      for (const key of ['c', 'a']) await cache.get(NS, key)
      for (const key of ['a', 'b', 'c']) await watcher.cache.get(NS, key)
      const reads = async (key: string) => (await client.getBuffer(`larder:test:entry:${NS}:${key}`))!.readUInt32LE(56)
      await eventually(async () => await reads('a') === 2 && await reads('b') === 1 && await reads('c') === 2, 'the reads are reported')
      await cache.get(NS, 'c')
      await cache.get(NS, 'a')
      await eventually(async () => await reads('a') === 3 && await reads('c') === 3, 'the last reads are reported')
      await cache.set(NS, 'd', entry('d', { ttl: 55 }))
      t.strictSame(await keysIn(opened), left)
      const gone = ['a', 'b', 'c', 'd'].find((key) => !left.includes(key))!
      t.equal(await cache.peek(NS, gone), undefined, 'this process has not kept it in memory')
      await eventually(async () => await watcher.cache.peek(NS, gone) === undefined, 'nor has another')
      t.equal(cache.counters(NS).evictions, 1)
      await totals(opened)
      await cache.clear(NS)
      cache.configure({ maxItems: Infinity, maxMemory: Infinity })
      await eventually(async () => await client.exists(INDEX) === 0, 'without limits there is no index')
    })
  }
})

t.test('limits hold at every moment, over all processes, in number and bytes', async (t) => {
  const open = await opener(t)
  const limits = { maxItems: 40, maxMemory: 40_000 }
  const [a, b] = [await open(limits), await open(limits)]
  const writing = new AbortController()
  const watching = (async () => {
    const most = { items: 0, bytes: 0, told: 0 }
    while (!writing.signal.aborted) {
      // In one step, whatever the processes do meanwhile.
      const [names, told] = await a.client.eval("return {redis.call('KEYS', 'larder:test:entry:*'), redis.call('HMGET', KEYS[1], 'items', 'bytes')}", 1, INDEX) as [string[], string[]]
      most.items = Math.max(most.items, names.length)
      most.told = Math.max(most.told, Number(told[0]))
      most.bytes = Math.max(most.bytes, Number(told[1]))
    }
    return most
  })()
  for (let round = 0; round < 60; round++) {
    await Promise.all(Array.from({ length: 20 }, async (_, i) =>
      await (i % 2 === 0 ? a : b).cache.set(NS, `k${round * 7 + i}`, entry('x'.repeat((round * 97 + i * 31) % 3000), { strategy: (['lru', 'lfu', 'fifo', 'ttl'] as const)[i % 4]! }))))
  }
  writing.abort()
  const most = await watching
  t.ok(most.items <= 40 && most.told <= 40 && most.bytes <= 40_000, JSON.stringify(most))
  t.ok(most.items > 10, 'there was something to hold')
  await totals(a)
  t.ok(a.cache.counters().evictions + b.cache.counters().evictions > 500)
})

t.test('the index', async (t) => {
  const open = await opener(t)
  const opened = await open({ maxItems: 50, maxMemory: 1_000_000 })
  const { cache, client, backend } = opened
  /** Made again to the end, and what was over the limit meanwhile evicted. */
  const complete = async (): Promise<void> => {
    await eventually(async () => await client.hget(INDEX, 'state') === 'complete' && (await backend.usage())!.items <= 50, 'it is complete')
  }

  t.test('follows deletions, touches, increments, conditional writes, invalidations and other strategies', async (t) => {
    for (let i = 0; i < 30; i++) await cache.set(i % 3 === 0 ? 'other' : NS, `k${i}`, entry('x'.repeat(i), { tags: i % 2 === 0 ? ['even'] : [] }))
    await totals(opened)
    for (let i = 0; i < 10; i++) await cache.delete(i % 3 === 0 ? 'other' : NS, `k${i}`)
    await cache.touch(NS, 'k10', 100)
    await cache.increment(NS, 'n', 1)
    await cache.increment(NS, 'n', 1)
    const { version } = await cache.set(NS, 'cas', entry('1'))
    await cache.set(NS, 'cas', entry('22222', { strategy: 'ttl' }), { version })
    await cache.set(NS, 'cas', entry('333', { strategy: 'lfu' }))
    await cache.set(NS, 'cas', entry('333', { strategy: 'lfu' }))
    await t.rejects(Promise.resolve(cache.set(NS, 'cas', entry(1), { absent: true })))
    await totals(opened)
    t.ok(await cache.invalidate(NS, { tags: ['even'] }) > 0)
    await totals(opened)
    t.strictSame(await backend.usage('other'), { items: 6, bytes: (await cache.list('other', { limit: 100 })).entries.reduce((sum, { size }) => sum + size, 0) })
    await cache.clear('other')
    t.strictSame(await backend.usage('other'), { items: 0, bytes: 0 })
    t.equal(await client.hexists(INDEX, 'items:other'), 0, 'a namespace that is empty takes no space')
  })

  t.test('follows Redis where that drops what has expired', async (t) => {
    await cache.clear(NS)
    for (let i = 0; i < 40; i++) await cache.set(NS, `brief${i}`, entry(i, { ttl: 0.05 }))
    await cache.set(NS, 'stays', entry(1))
    await eventually(async () => (await backend.usage())?.items === 1, 'they are not counted any more')
    await totals(opened)
    for (let i = 0; i < 49; i++) await cache.set(NS, `brief${i}`, entry(i, { ttl: 0.05, strategy: 'lfu' }))
    await eventually(async () => await cache.peek(NS, 'brief48') === undefined, 'they have expired')
    const before = cache.counters().evictions
    for (let i = 0; i < 49; i++) await cache.set(NS, `next${i}`, entry(i))
    t.equal(cache.counters().evictions, before, 'what has expired gives way before anything is evicted')
    await totals(opened)
  })

  t.test('is mended where the server has dropped entries by itself', async () => {
    await client.unlink(`larder:test:entry:${NS}:next3`, `larder:test:entry:${NS}:next4`)
    await backend.sweep()
    await totals(opened)
  })

  t.test('is made again where the server has dropped it, or a part of it', async () => {
    for (const part of ['', ':entries', ':lru', ':due']) {
      await client.unlink(`${INDEX}${part}`)
      for (let i = 0; i < 60; i++) await cache.set(NS, `again${part}${i}`, entry(i))
      await eventually(async () => (await keysIn(opened)).length <= 50, `the limit holds again without index${part}`)
    }
    await client.unlink(INDEX)
    await cache.set(NS, 'one', entry(1))
    await complete()
    await totals(opened)
  })

  t.test('is begun anew after a flush', async (t) => {
    await client.flushall()
    for (let i = 0; i < 60; i++) await cache.set(NS, `flushed${i}`, entry(i))
    t.ok((await keysIn(opened)).length <= 50)
    await complete()
    await totals(opened)
  })
})

t.test('an entry larger than the limit is refused, and evicts nothing', async (t) => {
  const open = await opener(t)
  const opened = await open({ maxMemory: 3000 })
  const { cache } = opened
  for (const key of ['a', 'b', 'c']) await cache.set(NS, key, entry(key))
  await t.rejects(Promise.resolve(cache.set(NS, 'large', entry('x'.repeat(3000)))), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 })
  t.strictSame(await keysIn(opened), ['a', 'b', 'c'])
  t.equal(await cache.getOrSet('loaded', () => 'x'.repeat(3000)), 'x'.repeat(3000), 'a load is answered, if not kept')
  await cache.set('app', 'changed', entry('before'))
  await cache.update('changed', async () => 'x'.repeat(3000))
  t.equal((await keysIn(opened, 'default')).includes('changed'), false, 'what the origin held before does not stay')
  await totals(opened)
})

t.test('a strategy needs a limit', async (t) => {
  const open = await opener(t)
  const { cache } = await open()
  await t.rejects(Promise.resolve(cache.set(NS, 'k', entry(1, { strategy: 'fifo' }))), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422, message: /maxmemory-policy/ })
  const { cache: other } = await open({ maxItems: 5 })
  await t.rejects(Promise.resolve(other.set(NS, 'k', entry(1, { strategy: 'sieve' }))), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422 })
})

t.test('limits for what is there already', async (t) => {
  const open = await opener(t)
  const [a, b, c] = [await open(), await open(), await open()]
  const fill = async (from: number, count: number): Promise<void> => {
    for (let at = from; at < from + count; at += 100) {
      await Promise.all(Array.from({ length: 100 }, async (_, i) => await a.cache.set(NS, `k${at + i}`, entry('x'.repeat(i % 50), { ttl: i % 4 === 0 ? 0 : 600 + i }))))
    }
  }
  await fill(0, 6000)

  t.test('are kept by an index that two processes make at once, while a third writes', async () => {
    const writing = new AbortController()
    const others = (async () => {
      for (let i = 0; !writing.signal.aborted; i++) {
        await c.cache.set(NS, `new${i}`, entry(i, { ttl: 600 }))
        await c.cache.delete(NS, `k${i}`)
        await c.cache.set(NS, `k${i + 3000}`, entry('another', { ttl: 60 }))
      }
    })()
    for (const { cache } of [a, b]) cache.configure({ maxItems: 1_000_000, maxMemory: 1_000_000_000 })
    await eventually(async () => await a.client.hget(INDEX, 'state') === 'complete', 'it is complete', 20_000)
    writing.abort()
    await others
    await totals(a)
  })

  t.test('are reached in portions where they are lowered', async (t) => {
    const before = a.cache.counters().evictions + b.cache.counters().evictions
    const items = (await a.backend.usage())!.items
    a.cache.configure({ maxItems: 100, maxMemory: 1_000_000_000 })
    await eventually(async () => (await a.backend.usage())!.items === 100, 'a hundred are left', 20_000)
    t.equal(a.cache.counters().evictions + b.cache.counters().evictions - before, items - 100)
    await totals(a)
    const commands = await a.client.info('commandstats')
    t.match(commands, /cmdstat_evalsha/)
  })

  t.test('are kept by a process that needs room for many at once', async (t) => {
    for (const { cache } of [a, b]) cache.configure({ maxItems: 5000, maxMemory: 3_000_000 })
    await fill(0, 3000)
    const { items } = await totals(a)
    t.ok(items > 2500)
    await a.cache.set(NS, 'large', entry('x'.repeat(2_900_000)))
    t.ok((await a.backend.usage())!.bytes <= 3_000_000)
    t.ok((await a.backend.usage())!.items < 400)
    await totals(a)
  })

  t.test('are indexed from where another process ended', async (t) => {
    for (const { cache } of [a, b]) cache.configure({ maxItems: Infinity, maxMemory: Infinity })
    await eventually(async () => await a.client.exists(INDEX, `${INDEX}:entries`, `${INDEX}:due`, `${INDEX}:lru`) === 0, 'without limits there is no index')
    await fill(0, 6000)
    // As a process that ends in the middle of it.
    const { client } = a
    const scripted = client as typeof client & Scripted
    const [, generation, , run] = await scripted.larderIndexOpen('larder:test:counter', INDEX)
    const scans = async () => Number(/cmdstat_scan:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
    let next = '0'
    for (let pages = 0; pages < 3; pages++) {
      const [cursor, ...records] = await scripted.larderScanBuffer('larder:test:counter', next, 'larder:test:entry:*', 1000, 520)
      next = String(cursor)
      for (let at = 0; at < records.length; at += 3) {
        const key = String(records[at]).split(':').at(-1) as string
        const { version, tags, metadata, value, strategy } = (await a.backend.get(NS, key))!
        const bytes = Buffer.alloc(8)
        bytes.writeDoubleLE(version)
        await scripted.larderIndexAdd('larder:test:counter', INDEX, generation, `${run} ${next}`, `${NS}:${key}`, bytes, sizeOf(key, value, tags, metadata), strategy)
      }
    }
    const before = await scans()
    b.cache.configure({ maxItems: 1_000_000, maxMemory: Infinity })
    await eventually(async () => await client.hget(INDEX, 'state') === 'complete', 'it is complete', 20_000)
    const made = await scans() - before
    await totals(b)
    const all = await scans() - before - made
    t.equal(made, all - 3, `${all} portions in all`)
  })
})

t.test('a quota for what is there already', async (t) => {
  const open = await opener(t)
  const limits = { maxItems: 20_000, maxMemory: 100_000_000 }
  const [a, b] = [await open(limits), await open(limits)]
  const fill = async ({ cache }: SharedCache, namespace: string, from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at += 100) {
      await Promise.all(Array.from({ length: 100 }, async (_, i) => await cache.set(namespace, `k${at + i}`, entry(i, { ttl: 600 + i, strategy: (['lru', 'lfu', 'fifo', 'ttl'] as const)[i % 4]! }))))
    }
  }
  const settled = async (limits: Partial<Limits>): Promise<void> => {
    a.cache.configure(limits)
    await a.cache.settled()
  }
  const items = async (namespace: string): Promise<number> => (await a.backend.usage(namespace))!.items
  for (let at = 0; at < 4000; at += 1000) for (const namespace of ['tenant', 'other']) await fill(a, namespace, at, at + 1000)

  t.test('is kept from the first write on, by a process that has not heard of it too', async (t) => {
    const writing = (async () => {
      await fill(b, 'tenant', 4000, 5000)
      await fill(b, 'other', 4000, 5000)
    })()
    await settled({ quotas: new Map([['tenant', { maxItems: 2500, maxMemory: 10_000_000 }]]) })
    t.ok(await items('tenant') <= 2500)
    await writing
    t.strictSame([await items('tenant'), await items('other')], [2500, 5000])
    await fill(b, 'tenant', 5000, 5200)
    t.equal(await items('tenant'), 2500)
    await totals(a)
    t.equal(await a.client.hget(`${INDEX}:quotas`, 'tenant'), '2500:10000000:done')
    await t.rejects(async () => await b.cache.set('tenant', 'large', entry('x'.repeat(10_000_000))), { code: 'ERR_ENTRY_TOO_LARGE', message: /limit of 10000000/ })
  })

  t.test('outlives an index that is made again', async () => {
    await a.client.unlink(INDEX)
    await settled({ maxItems: 7000 })
    await eventually(async () => await a.client.hget(INDEX, 'state') === 'complete', 'it is complete', 20_000)
    await a.cache.settled()
    t.strictSame([await items('tenant'), await items('other')], [2500, 4500])
    await totals(a)
  })

  t.test('is given back in portions', async (t) => {
    await settled({ quotas: new Map() })
    t.equal(await a.client.exists(`${INDEX}:quotas`), 0)
    await totals(a)
    await settled({ maxItems: 100 })
    t.equal((await a.backend.usage())!.items, 100)
    await totals(a)
  })

  t.test('needs no other limits', async (t) => {
    await settled({ maxItems: Infinity, maxMemory: Infinity, quotas: new Map([['few', { maxItems: 3, maxMemory: 100_000 }]]) })
    for (let i = 0; i < 9; i++) for (const namespace of ['few', 'other']) await a.cache.set(namespace, `n${i}`, entry(i, { strategy: namespace === 'few' ? 'fifo' : 'lru' }))
    t.equal(await items('few'), 3)
    await t.rejects(async () => await a.cache.set('other', 'k', entry(1, { strategy: 'fifo' })), { code: 'ERR_UNSUPPORTED_HERE' }, 'which strategies of others need')
    await totals(a)
    await settled({ quotas: new Map() })
    t.equal((await a.client.keys(`${INDEX}*`)).length, 0, 'without any there is no index')
  })
})

t.test('what was evicted does not come back by a load that began before it was written', async (t) => {
  const open = await opener(t)
  const [a, b] = [await open({ maxItems: 2 }), await open({ maxItems: 2 })]
  const gate = new Gate()
  const begun = new Gate()
  // B is cut off from announcements: it hears neither of the write nor of the eviction.
  b.backend.fill = b.backend.fill.bind(b.backend)
  b.store.onChange = () => {}
  const loading = b.cache.getOrSet('k', async () => { begun.open(); await gate.promise; return 'old' }, { ttl: 100 })
  await begun.promise
  await a.cache.set(NS, 'k', entry('new'))
  for (const key of ['x', 'y']) await a.cache.set(NS, key, entry(key))
  t.equal(await a.backend.get(NS, 'k'), undefined, 'it is evicted')
  gate.open()
  t.equal(await loading, 'old', 'who waited is answered')
  const behind = await a.backend.get(NS, 'k')
  t.equal(behind === undefined ? undefined : decode(behind.value), undefined)
})

t.test('thousands of reads are reported few at a time, and none while the last ones are on their way', async (t) => {
  const { backend, client } = await (await opener(t))()
  const scripted = client as typeof client & Scripted
  let [underway, most, reported] = [0, 0, 0]
  const gate = new Gate()
  scripted.larderAccess = async () => {
    most = Math.max(most, ++underway)
    await gate.promise
    underway--
    return ++reported
  }
  const read = (from: number): void => { for (let at = from; at < from + 2000; at++) backend.recordAccess(NS, `k${at}`, 1, 1, Date.now()) }
  read(0)
  await eventually(() => underway > 0, 'they are reported')
  read(2000)
  gate.open()
  await eventually(() => reported === 4000, 'all of them')
  t.ok(most <= 50, `no more than 50 at a time: ${most}`)
})
