import t from 'tap'
import { rmSync } from 'node:fs'
import type { Cache } from '../../../../services/cache/cache.js'
import { decode, encode } from '../../../../services/cache/encoding.js'
import type { NewEntry } from '../../../../services/cache/entry.js'
import { BackendUnavailableError } from '../../../../services/cache/errors.js'
import { eventually, openSharedCache, type SharedCache } from '../../../support/caches.js'
import { heldMemory } from '../../../support/heap.js'
import { type Owner, redisUrl, startRedis } from '../../../support/servers.js'
import { Gate } from '../setup.js'

const NS = 'default'
const entry = (value: unknown, more: Partial<NewEntry> = {}): NewEntry => ({ value: encode(value), dataType: 'json', ...more })
const valueIn = async (cache: Cache, key: string): Promise<unknown> => {
  const found = await cache.peek(NS, key)
  return found === undefined ? undefined : decode(found.value)
}

/** Two caches on one Redis, both following it. */
async function pair (test: Owner, url?: string): Promise<[SharedCache, SharedCache]> {
  const address = url ?? await redisUrl(test)
  return [await openSharedCache(test, address), await openSharedCache(test, address)]
}

/** A loader that begins, and ends when it is told to. */
function heldLoader<T> (value: T): { loader: () => Promise<T>, begun: Promise<void>, release: () => void } {
  let release = (): void => {}
  let begin = (): void => {}
  const released = new Promise<void>((resolve) => { release = resolve })
  const begun = new Promise<void>((resolve) => { begin = resolve })
  return { begun, release, loader: async () => { begin(); await released; return value } }
}

t.test('what one process writes', async (t) => {
  const [a, b] = await pair(t)

  t.test('the others read, with its type, tags, metadata, lifetime and version', async (t) => {
    const written = await a.cache.set(NS, 'whole', entry({ café: ['ü', 1] }, { ttl: 60, tags: ['x', 'y'], metadata: '{"tags":["x","y"],"n":1}', strategy: 'lfu' }))
    const read = await b.cache.get(NS, 'whole')
    t.ok(read)
    const { accessedAt: _, accessCount, expiresAt, createdAt, goneAt: __, ...facts } = read!
    const { accessedAt: _a, accessCount: _b, expiresAt: expected, createdAt: created, goneAt: _c, ...rest } = written
    t.strictSame(facts, rest)
    t.equal(accessCount, 1)
    t.ok(Math.abs(expiresAt - expected) < 50, 'the lifetime is that of the writer')
    t.ok(Math.abs(createdAt - created) < 50)
  })

  t.test('replaces what they hold in memory', async (t) => {
    await a.cache.set(NS, 'k', entry(1))
    t.equal(await valueIn(b.cache, 'k'), 1)
    t.notOk(b.cache.peek(NS, 'k') instanceof Promise, 'B answers from memory now')
    await a.cache.set(NS, 'k', entry(2))
    t.equal(await valueIn(a.cache, 'k'), 2, 'the writer sees it at once')
    await eventually(async () => await valueIn(b.cache, 'k') === 2, 'B sees the new value')
  })

  t.test('expires for all of them, whatever their clocks say', async (t) => {
    const ahead = await openSharedCache(t, a.client.options.port === undefined ? '' : `redis://127.0.0.1:${a.client.options.port}`, {
      now: () => Date.now() + 3_600_000
    })
    await a.cache.set(NS, 'timed', entry(1, { ttl: 30 }))
    const seen = await ahead.cache.get(NS, 'timed')
    t.ok(seen, 'a reader whose clock is an hour ahead still sees it')
    const left = (seen!.expiresAt - (Date.now() + 3_600_000)) / 1000
    t.ok(left > 29 && left <= 30.1, `and gives it ${left} s, not an hour less`)
    await a.cache.set(NS, 'brief', entry(1, { ttl: 0.05 }))
    await eventually(async () => await ahead.cache.get(NS, 'brief') === undefined, 'it is gone for the reader')
  })

  t.test('counts its readers in every process', async () => {
    await a.cache.set(NS, 'counted', entry(1))
    for (let i = 0; i < 3; i++) await b.cache.get(NS, 'counted')
    await eventually(async () => {
      const [listed] = (await a.cache.list(NS, { pattern: 'counted', limit: 1 })).entries
      return listed?.accessCount === 3
    }, 'the reads of B reach the entry')
  })
})

t.test('an invalidation', async (t) => {
  const [a, b] = await pair(t)
  const put = async (): Promise<void> => {
    await a.cache.set(NS, 'user:1', entry('one', { tags: ['user'] }))
    await a.cache.set(NS, 'user:2', entry('two', { tags: ['user', 'vip'] }))
    await a.cache.set(NS, 'order:1', entry('order'))
    for (const key of ['user:1', 'user:2', 'order:1']) await b.cache.get(NS, key)
  }
  const left = async (cache: Cache): Promise<string[]> => {
    const found = await Promise.all(['user:1', 'user:2', 'order:1'].map(async (key) => await valueIn(cache, key) === undefined ? [] : [key]))
    return found.flat()
  }

  const cases: [name: string, act: () => Promise<number>, removed: number, left: string[]][] = [
    ['by tag', async () => await a.cache.invalidate(NS, { tags: ['user'] }), 2, ['order:1']],
    ['by several tags', async () => await a.cache.invalidate(NS, { tags: ['vip', 'none'] }), 1, ['user:1', 'order:1']],
    ['by pattern', async () => await a.cache.invalidate(NS, { pattern: 'user:[1]' }), 1, ['user:2', 'order:1']],
    ['of everything', async () => await a.cache.clear(NS), 3, []]
  ]
  for (const [name, act, removed, remaining] of cases) {
    t.test(name, async (t) => {
      await put()
      t.equal(await act(), removed, 'counts what fell to it')
      t.strictSame(await left(a.cache), remaining, 'holds here at once')
      await eventually(async () => JSON.stringify(await left(b.cache)) === JSON.stringify(remaining), 'B agrees')
      await put()
      t.strictSame(await left(a.cache), ['user:1', 'user:2', 'order:1'], 'does not concern what is written after it')
      t.strictSame(await left(b.cache), ['user:1', 'user:2', 'order:1'])
    })
  }

  t.test('reaches a process that starts later', async (t) => {
    await a.cache.set(NS, 'old', entry(1, { tags: ['gone'] }))
    await a.backend.invalidate(NS, { tags: ['gone'] }) // as if the process that recorded it had died before its sweep
    const late = await openSharedCache(t, `redis://127.0.0.1:${a.client.options.port}`)
    t.equal(await valueIn(late.cache, 'old'), undefined)
  })

  t.test('concerns its own namespace, also of names that begin alike', async (t) => {
    await a.cache.set('n', 'k', entry(1, { tags: ['t'] }))
    await a.cache.set('nn', 'k', entry(2, { tags: ['t'] }))
    await a.cache.set('n', 'n:k', entry(3))
    t.equal(await a.cache.invalidate('n', { tags: ['t'] }), 1)
    t.ok(await a.cache.peek('nn', 'k'))
    t.equal(await a.cache.clear('n'), 1)
    t.ok(await a.cache.peek('nn', 'k'))
  })

  t.test('is forgotten once nothing can fall to it', async (t) => {
    const brief = await openSharedCache(t, `redis://127.0.0.1:${a.client.options.port}`, { retireAfter: 50 })
    for (let i = 0; i < 20; i++) await brief.cache.invalidate(NS, { tags: [`tag-${i}`] })
    await eventually(async () => {
      const inForce = await brief.backend.inForce()
      return !inForce.some(({ what }) => what.tags?.[0]?.startsWith('tag-'))
    }, 'the markers are withdrawn')
  })
})

t.test('a load under way in one process is not kept when another', async (t) => {
  const [a, b] = await pair(t)
  const changes: [name: string, act: (key: string) => Promise<unknown>][] = [
    ['deletes the key', async (key) => await b.cache.delete(NS, key)],
    ['forgets the key', async (key) => { await b.cache.forget(key) }],
    ['writes the key', async (key) => await b.cache.set(NS, key, entry('new'))],
    ['updates the origin of the key', async (key) => await b.cache.update(key, async () => 'new')],
    ['invalidates its tag', async () => await b.cache.invalidate(NS, { tags: ['load'] })],
    ['invalidates a pattern it matches', async () => await b.cache.invalidate(NS, { pattern: 'load:*' })],
    ['clears the namespace', async () => await b.cache.clear(NS)]
  ]
  for (const [number, [name, act]] of changes.entries()) {
    t.test(name, async (t) => {
      const key = `load:${number}`
      const { loader, begun, release } = heldLoader('old')
      const reading = a.cache.read(key, loader, { tags: ['load'] })
      await begun
      await act(key)
      release()
      t.equal((await reading).value, 'old', 'who waited for it gets it')
      t.not(await valueIn(a.cache, key), 'old')
      t.not(await valueIn(b.cache, key), 'old')
      const again = await a.cache.read(key, () => 'new')
      t.equal(again.value, 'new')
    })
  }

  t.test('deletes the key and Redis is flushed in between', async (t) => {
    const { loader, begun, release } = heldLoader('old')
    const reading = a.cache.read('flushed', loader)
    await begun
    await b.cache.forget('flushed')
    await eventually(async () => (await b.client.get('larder:test:entry:default:flushed')) !== null, 'the deletion is in Redis')
    await b.client.flushall()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    release()
    await reading
    t.not(await valueIn(b.cache, 'flushed'), 'old')
  })
})

t.test('an update in one process is not kept when another', async (t) => {
  const [a, b] = await pair(t)
  const changes: [name: string, act: () => Promise<unknown>][] = [
    ['invalidates its tag', async () => await b.cache.invalidate(NS, { tags: ['u'] })],
    ['updates it too, and ends first', async () => await b.cache.update('u', async () => 'newer', { tags: ['u'] })],
    ['deletes it', async () => { await b.cache.forget('u') }]
  ]
  for (const [name, act] of changes) {
    t.test(name, async (t) => {
      const { loader, begun, release } = heldLoader('older')
      const updating = a.cache.update('u', loader, { tags: ['u'] })
      await begun
      await act()
      release()
      t.equal(await updating, 'older', 'who asked for it gets it')
      t.not(await valueIn(a.cache, 'u'), 'older')
      await eventually(async () => await valueIn(b.cache, 'u') !== 'older', 'nor does B have it')
    })
  }

  t.test('an update keeps loads that began before it from bringing the old value', async (t) => {
    const { loader, begun, release } = heldLoader('old')
    const reading = b.cache.read('w', loader)
    await begun
    await a.cache.update('w', async () => 'new')
    release()
    await reading
    t.equal(await valueIn(a.cache, 'w'), 'new')
    await eventually(async () => await valueIn(b.cache, 'w') === 'new', 'B has the new one')
  })
})

t.test('an invalidation that Redis could not be told of', async (t) => {
  const server = await startRedis(t)
  const [a, b] = await pair(t, server.url)
  await a.cache.getOrSet('k', () => 'before', { tags: ['owed'], ttl: 60 })
  server.pause()
  await eventually(() => !a.store.isTrusted, 'it is known to be away')
  await a.cache.outdate({ tags: ['owed'] })
  const { loader, begun, release } = heldLoader('while away')
  const reading = a.cache.read('k', loader, { tags: ['owed'] })
  await begun
  await a.cache.forget('k')
  const after = a.cache.read('k', () => 'after the deletion')
  t.equal((await after).value, 'after the deletion', 'who comes after a deletion does not join the load before it')
  release()
  await reading
  server.resume()
  await eventually(async () => a.store.isTrusted && b.store.isTrusted && await valueIn(b.cache, 'k') === undefined, 'B hears of it')
  t.equal(await valueIn(a.cache, 'k'), undefined)
  t.equal(await a.cache.getOrSet('k', () => 'fresh', { tags: ['owed'] }), 'fresh')
  t.equal(await valueIn(a.cache, 'k'), 'fresh', 'and it does not outlive what it was for')
})

t.test('writes that race', async (t) => {
  const [a, b] = await pair(t)

  t.test('on one condition: one wins', async (t) => {
    const { version } = await a.cache.set(NS, 'cas', entry(0))
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) =>
      await (i % 2 === 0 ? a : b).cache.set(NS, 'cas', entry(i), { version })))
    t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
    const absent = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) =>
      await (i % 2 === 0 ? a : b).cache.set(NS, 'first', entry(i), { absent: true })))
    t.equal(absent.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  t.test('a fallen entry counts as absent, and no version of it matches', async (t) => {
    const { version } = await a.cache.set(NS, 'fallen', entry(0, { tags: ['f'] }))
    await b.backend.invalidate(NS, { tags: ['f'] }) // no sweep: the entry is still there
    await eventually(async () => await a.cache.peek(NS, 'fallen') === undefined, 'it fell')
    await t.rejects(Promise.resolve(a.cache.set(NS, 'fallen', entry(1), { version })), { code: 'ERR_PRECONDITION_FAILED' })
    t.ok(await a.cache.set(NS, 'fallen', entry(1), { absent: true }))
  })

  t.test('increments add up', async (t) => {
    await Promise.all(Array.from({ length: 60 }, async (_, i) => await (i % 2 === 0 ? a : b).cache.increment(NS, 'n', 2)))
    t.equal(await valueIn(a.cache, 'n'), 120)
    await eventually(async () => await valueIn(b.cache, 'n') === 120, 'B agrees')
  })

  t.test('end with both processes answering the same', async (t) => {
    for (let round = 0; round < 100; round++) {
      await Promise.all([
        a.cache.set(NS, 'race', entry(`a${round}`)), b.cache.set(NS, 'race', entry(`b${round}`)),
        a.cache.get(NS, 'race'), b.cache.get(NS, 'race')
      ])
    }
    await eventually(async () => await valueIn(a.cache, 'race') === await valueIn(b.cache, 'race'), 'they agree')
    const inRedis = decode((await a.backend.get(NS, 'race'))!.value)
    t.equal(await valueIn(a.cache, 'race'), inRedis, 'on what is in Redis')
  })
})

t.test('lists', async (t) => {
  const { cache } = await openSharedCache(t, await redisUrl(t))
  const keys = Array.from({ length: 2500 }, (_, i) => `key:${String(i).padStart(4, '0')}`)
  for (let from = 0; from < keys.length; from += 250) {
    await Promise.all(keys.slice(from, from + 250).map(async (key, i) => await cache.set(NS, key, entry(i, { tags: i % 2 === 0 ? ['even'] : [] }))))
  }
  await cache.delete(NS, 'key:0000')

  t.test('page by cursor and by offset, without the deleted ones', async (t) => {
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await cache.list(NS, { pattern: 'key:*', limit: 400, cursor })
      t.equal(page.total, 2499)
      seen.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
    } while (cursor !== undefined)
    t.strictSame(seen, keys.slice(1))
    const page = await cache.list(NS, { pattern: 'key:*', limit: 3, offset: 5 })
    t.strictSame(page.entries.map(({ key }) => key), keys.slice(6, 9))
  })

  t.test('count as the statistics do', async (t) => {
    const { items, bytes } = await cache.statistics(NS)
    t.equal(items, 2499)
    const { entries } = await cache.list(NS, { limit: 2499 })
    t.equal(bytes, entries.reduce((sum, { size }) => sum + size, 0))
    t.equal(await cache.invalidate(NS, { tags: ['even'] }), 1249)
  })
})

t.test('Redis in trouble', async (t) => {
  t.test('hung: no call waits beyond the deadline, the loader answers, and both sides agree afterwards', async (t) => {
    const server = await startRedis(t)
    const [a, b] = await pair(t, server.url)
    await a.cache.set(NS, 'k', entry('before', { ttl: 60 }))
    t.equal(await valueIn(b.cache, 'k'), 'before')
    server.pause()
    const began = Date.now()
    const reading = await a.cache.read('other', () => 'from the origin')
    t.equal(reading.value, 'from the origin')
    t.ok(Date.now() - began < 1500, `it took ${Date.now() - began} ms`)
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 1000)
    t.equal((await b.cache.read('k', () => 'fresh')).value, 'fresh', 'what memory holds is not answered with')
    await t.rejects(Promise.resolve(a.cache.set(NS, 'k', entry(1))), { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 })
    await a.cache.forget('k')
    await a.cache.outdate({ tags: ['nothing'] })
    server.resume()
    await eventually(async () => a.store.isTrusted && b.store.isTrusted && await valueIn(b.cache, 'k') === undefined, 'the deletion is caught up with')
    t.equal(await valueIn(a.cache, 'k'), undefined)
    await a.cache.set(NS, 'k', entry('after'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'life goes on')
  })

  t.test('hung: a stale value is served when the loader fails too', async (t) => {
    const server = await startRedis(t)
    const { cache, store } = await openSharedCache(t, server.url)
    await cache.getOrSet('g', () => 'kept', { ttl: 0.02, grace: 60 })
    server.pause()
    await eventually(() => !store.isTrusted, 'memory is no longer trusted')
    const reading = await cache.read('g', () => { throw new Error('origin down') }, { ttl: 0.02, grace: 60 })
    t.match({ status: reading.status, value: reading.value }, { status: 'stale', value: 'kept' })
    server.resume()
  })

  t.test('killed and back empty: memory is void', async (t) => {
    const server = await startRedis(t)
    const [a, b] = await pair(t, server.url)
    await a.cache.set(NS, 'k', entry('before'))
    await b.cache.get(NS, 'k')
    await server.kill()
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 1000)
    t.equal(await a.cache.getOrSet('k', () => 'origin'), 'origin')
    await server.restart()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    t.equal(await valueIn(b.cache, 'k'), undefined)
    t.equal(await a.cache.getOrSet('k', () => 'loaded'), 'loaded')
    await eventually(async () => await valueIn(b.cache, 'k') === 'loaded', 'B reads what A loaded')
  })

  t.test('flushed: what memory holds goes within a second', async (t) => {
    const { cache, client } = await openSharedCache(t, await redisUrl(t))
    await cache.set(NS, 'k', entry(1))
    t.equal(await valueIn(cache, 'k'), 1)
    await client.flushall()
    await eventually(async () => await valueIn(cache, 'k') === undefined, 'it is gone', 1000)
    await cache.set(NS, 'k', entry(2))
    t.equal(await valueIn(cache, 'k'), 2)
  })

  t.test('the subscription cut: what was missed is not answered with', async (t) => {
    const [a, b] = await pair(t)
    for (let round = 0; round < 5; round++) {
      await a.cache.set(NS, 'k', entry(round))
      await eventually(async () => await valueIn(b.cache, 'k') === round, `B has ${round}`)
      await a.client.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
      await a.cache.set(NS, 'k', entry(`${round}!`))
      await eventually(async () => await valueIn(b.cache, 'k') === `${round}!`, `B has ${round}!`, 1000)
    }
    t.pass('five times')
  })

  t.test('full: writes are refused as such, reads and deletions go on', async (t) => {
    const { cache, client } = await openSharedCache(t, await redisUrl(t))
    await cache.set(NS, 'k', entry('x'))
    await client.config('SET', 'maxmemory', '1mb')
    await client.config('SET', 'maxmemory-policy', 'noeviction')
    await t.rejects(Promise.resolve(cache.set(NS, 'big', entry('y'.repeat(2_000_000)))).then(async () => await cache.set(NS, 'more', entry(1))),
      { code: 'ERR_BACKEND_FULL', statusCode: 507 })
    t.equal(await valueIn(cache, 'k'), 'x')
    t.equal(await cache.getOrSet('loaded', () => 1), 1, 'a load is answered, if not kept')
    await cache.forget('k')
    t.equal(await valueIn(cache, 'k'), undefined, 'a deletion holds in this process')
    await client.config('SET', 'maxmemory', '0')
    await eventually(async () => await cache.peek(NS, 'k') === undefined && await client.getBuffer('larder:test:entry:default:k').then((record) => record?.[2] === 1), 'and reaches Redis when there is room')
  })
  t.test('unable to save: writes are refused as such, and cached reads do not fail', async (t) => {
    const { cache, client } = await openSharedCache(t, (await startRedis(t)).url)
    await cache.set(NS, 'k', entry('x'))
    const [, folder] = await client.config('GET', 'dir') as [string, string]
    await client.config('SET', 'save', '1 1')
    rmSync(folder, { recursive: true, force: true })
    await eventually(async () => {
      await client.bgsave().catch(() => {})
      return (await client.info('persistence')).includes('rdb_last_bgsave_status:err')
    }, 'it knows that it cannot save')
    await t.rejects(Promise.resolve(cache.set(NS, 'k', entry('y'))), { code: 'ERR_BACKEND_FULL' })
    t.equal(await cache.getOrSet('loaded', () => 1), 1)
    await cache.forget('k')
    t.equal(await valueIn(cache, 'k'), undefined, 'a deletion holds in this process')
  })

  t.test('away for long: what is owed takes bounded memory, and holds', async (t) => {
    const server = await startRedis(t)
    const [a, b] = await pair(t, server.url)
    await b.cache.getOrSet('k', () => 'old', { ttl: 1000 })
    server.pause()
    await eventually(() => !a.store.isTrusted, 'it is known to be away')
    const before = await heldMemory()
    await a.cache.forget('k')
    for (let at = 0; at < 100; at++) await a.cache.forget(...Array.from({ length: 1000 }, (_, i) => `a key that was written:${at}:${i}`))
    const growth = (await heldMemory() - before) / 2 ** 20
    t.ok(growth < 8, `${growth.toFixed(1)} MiB for 100 000 keys`)
    server.resume()
    await eventually(async () => b.store.isTrusted && await valueIn(b.cache, 'k') === undefined, 'the first of them holds for the other process too')
    t.equal(await a.cache.getOrSet('k', () => 'new'), 'new')
  })

  t.test('back again: a read under way does not bring back what is deleted late', async (t) => {
    const { cache, store, backend } = await openSharedCache(t, await redisUrl(t))
    await cache.set(NS, 'k', entry('old'))
    const pay = backend.delete.bind(backend)
    backend.delete = async () => { throw new BackendUnavailableError('Away for this moment.') }
    await cache.forget('k')
    const get = backend.get.bind(backend)
    const answered = new Gate()
    const paid = new Gate()
    backend.get = async (namespace, key) => {
      const found = await get(namespace, key)
      answered.open()
      await paid.promise
      return found
    }
    const reading = cache.get(NS, 'k')
    await answered.promise
    backend.delete = async (...change) => {
      const outcome = await pay(...change)
      setImmediate(paid.open)
      return outcome
    }
    await reading
    backend.get = get
    t.ok(store.isTrusted)
    t.equal(await valueIn(cache, 'k'), undefined)
  })
})

t.test('reads are counted on from Redis to memory', async (t) => {
  const [a, b] = await pair(t)
  await eventually(() => b.store.isTrusted, 'it follows')
  await a.cache.set(NS, 'k', entry(1))
  for (const reads of [1, 2, 3]) t.equal((await b.cache.get(NS, 'k'))?.accessCount, reads)
})
