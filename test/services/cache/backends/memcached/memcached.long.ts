import t from 'tap'
import { connect } from 'node:net'
import type { MemcachedBackend } from '../../../../../services/cache/backends/memcached/memcached.js'
import { decode } from '../../../../../services/cache/encoding.js'
import { eventually, type OpenedCache, startMemcachedCaches } from '../../../../support/caches.js'
import { databaseUrl, memcachedUrl, type Owner, redisUrl, startMemcached, startPostgres, startRedis } from '../../../../support/servers.js'
import { entryOf as entry, heldLoader, valueIn } from '../../setup.js'

const NS = 'default'
/** For tests that are not about deadlines, on machines that are busy. */
const PATIENT = { deadline: 5000 }
/** What is behind the memory of all processes. */
const behind = async ({ backend }: OpenedCache, key: string): Promise<unknown> => {
  const found = await backend.get(NS, key)
  return found === undefined ? undefined : decode(found.value)
}

/** Says one thing to a memcached, past the client. */
async function say (url: string, command: string): Promise<string> {
  const { port } = new URL(url)
  return await new Promise((resolve, reject) => {
    const socket = connect(Number(port), '127.0.0.1', () => { socket.write(command) })
    socket.once('data', (answer: Buffer) => {
      resolve(answer.toString('latin1'))
      socket.destroy()
    })
    socket.once('error', reject)
  })
}

t.test('entries of every size and name are read and listed as they were written', async (t) => {
  const open = await startMemcachedCaches(t)
  const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
  const keys = ['k', 'a b', 'é', '日本語'.repeat(40), 'a\r\nb', 'nul\u0000', '\ud800', '\ud801', 'x'.repeat(250), 'x'.repeat(999), '#', '=', '%', 'a:b']
  for (const key of keys) await a.cache.set(NS, key, entry({ key }))
  for (const key of keys) t.strictSame(await valueIn(b.cache, key), { key })
  const { entries, total } = await b.cache.list(NS, { limit: 100 })
  t.equal(total, keys.length)
  t.strictSame(entries.map(({ key }) => key).sort(), [...keys].sort())
  for (const length of [0, 1, 1000, 100_000, 1_000_000, 1_048_000]) {
    const value = 'é'.repeat(length / 2)
    await a.cache.set(NS, 'sized', entry(value))
    t.equal(await behind(b, 'sized'), value, `${length} bytes`)
  }
  t.equal(await a.cache.clear(NS), keys.length + 1)
  t.equal((await b.cache.list(NS, { limit: 1 })).total, 0)
})

t.test('a value that does not fit', async (t) => {
  const open = await startMemcachedCaches(t)
  const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
  const large = 'x'.repeat(1_048_500)
  await a.cache.set(NS, 'k', entry('small'))
  await t.rejects(Promise.resolve(a.cache.set(NS, 'k', entry(large))), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413, message: /1048576/ })
  t.equal(await behind(b, 'k'), 'small', 'changes nothing')
  t.equal((await a.cache.getOrSet('loaded', () => large)).length, large.length, 'is answered when it was loaded')
  await a.cache.update('k', async () => large)
  t.equal(await behind(b, 'k'), undefined, 'leaves nothing old behind when the origin changed')
})

t.test('what is to be discarded goes, though its item was written anew since it was scanned', async (t) => {
  const { cache, backend } = await (await startMemcachedCaches(t))(t, PATIENT)
  for (const key of ['a', 'b', 'c']) await cache.set(NS, key, entry(key))
  const scanned = []
  for await (const entries of backend.scan(NS)) scanned.push(...entries)
  await cache.touch(NS, 'a', 1000)
  await cache.set(NS, 'b', entry('another'))
  t.equal(await backend.discard(NS, scanned.map(({ key, version }) => ({ key, version }))), 2)
  t.strictSame((await cache.list(NS, { limit: 9 })).entries.map(({ key }) => key), ['b'], 'but not another entry')
  t.equal(await backend.discard(NS, scanned), 0)
})

t.test('lifetimes are exact, though the server counts seconds', async (t) => {
  const { cache, backend } = await (await startMemcachedCaches(t))(t, PATIENT)
  const began = Date.now()
  await cache.set(NS, 'brief', entry(1, { ttl: 0.3 }))
  t.ok(await cache.peek(NS, 'brief'))
  await eventually(async () => await backend.get(NS, 'brief') === undefined, 'it goes', 5000)
  t.ok(Date.now() - began >= 290, 'not before its time')
  for (const days of [29, 31, 60, 365 * 50]) {
    const written = await cache.set(NS, 'long', entry(1, { ttl: days * 86_400 }))
    const read = await backend.get(NS, 'long')
    t.ok(Math.abs(read!.expiresAt - written.expiresAt) < 1000, `${days} days`)
  }
  await cache.set(NS, 'long', entry(1, { ttl: 0 }))
  t.equal((await backend.get(NS, 'long'))?.expiresAt, Infinity)
})

t.test('what memcached forgot', async (t) => {
  const url = await memcachedUrl(t)
  const open = await startMemcachedCaches(t, { url })
  const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]

  t.test('between a deletion and the end of a load does not bring the old value back', async (t) => {
    const changes: Record<string, (key: string) => Promise<unknown>> = {
      'a deletion': async (key) => await b.cache.delete(NS, key),
      'a write': async (key) => await b.cache.set(NS, key, entry('new')),
      'an update': async (key) => await b.cache.update(key, async () => 'new'),
      'a deletion and another load': async (key) => {
        await b.cache.delete(NS, key)
        await say(url, 'flush_all\r\n')
        await b.cache.read(key, () => 'new')
      },
      'a write and a deletion': async (key) => {
        await b.cache.set(NS, key, entry('new'))
        await b.cache.delete(NS, key)
      }
    }
    for (const [what, change] of Object.entries(changes)) {
      for (const before of ['nothing', 'an entry']) {
        for (const flushed of ['before', 'after', 'before and after']) {
          const key = `${what}:${before}:${flushed}`
          if (before === 'an entry') await a.cache.set(NS, key, entry('old', { ttl: 0.001, grace: 60 }))
          const { loader, begun, release } = heldLoader('old')
          const reading = a.cache.read(key, loader, { refresh: true })
          await begun
          if (flushed.startsWith('before')) await say(url, 'flush_all\r\n')
          await change(key)
          if (flushed.endsWith('after')) await say(url, 'flush_all\r\n')
          release()
          t.equal((await reading).value, 'old')
          t.not(await behind(b, key), 'old', key)
          t.not(await valueIn(a.cache, key), 'old', key)
        }
      }
    }
  })

  t.test('costs a load its place, and nothing else', async (t) => {
    const { loader, begun, release } = heldLoader('value')
    const reading = a.cache.read('forgotten', loader)
    await begun
    await say(url, 'flush_all\r\n')
    release()
    t.equal((await reading).value, 'value')
    t.equal(await behind(a, 'forgotten'), undefined)
    t.equal(await a.cache.getOrSet('forgotten', () => 'again'), 'again')
    t.equal(await behind(b, 'forgotten'), 'again')
  })

  t.test('may still be in the memory of processes, where a change of it is heard of', async (t) => {
    // Its own change, as the news of another's might come after it was read, and take it from the memory again.
    await b.cache.set(NS, 'held', entry('old'))
    await eventually(async () => await valueIn(b.cache, 'held') === 'old' && !(b.cache.peek(NS, 'held') instanceof Promise), 'B holds it')
    await say(url, 'flush_all\r\n')
    t.equal(await valueIn(b.cache, 'held'), 'old')
    await a.cache.delete(NS, 'held')
    await eventually(async () => await valueIn(b.cache, 'held') === undefined, 'B drops it')
  })
})

const coordinators: Record<string, (owner: Owner) => Promise<{ redis: string } | { database: string }>> = {
  redis: async (owner) => ({ redis: await redisUrl(owner) }),
  database: async (owner) => ({ database: await databaseUrl(owner) })
}
for (const [kind, start] of Object.entries(coordinators)) {
  t.test(`over ${kind}: a change that was made and not announced, as its maker died, reaches the others`, async (t) => {
    const over = await start(t)
    const url = await memcachedUrl(t)
    const open = await startMemcachedCaches(t, { url, over })
    const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
    await a.cache.set(NS, 'k', entry('old'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'old' && !(b.cache.peek(NS, 'k') instanceof Promise), 'B holds it')
    await dieBeforeAnnouncing(a.backend, async () => { await a.cache.set(NS, 'k', entry('new')) })
    t.equal(await behind(b, 'k'), 'new', 'it was made')
    await eventually(async () => await valueIn(b.cache, 'k') === 'new', 'B hears of it', 15_000)
  })

  t.test(`over ${kind}: processes that write, load, delete and invalidate side by side agree in the end`, async (t) => {
    const over = await start(t)
    const url = await memcachedUrl(t)
    const open = await startMemcachedCaches(t, { url, over })
    const caches = [await open(t, PATIENT), await open(t, PATIENT), await open(t, PATIENT)]
    const keys = ['a', 'b', 'c']
    let origin = 0
    for (let round = 0; round < 40; round++) {
      await Promise.all(Array.from({ length: 24 }, async (_, at) => {
        const { cache } = caches[at % 3]!
        const key = keys[(round + at) % 3]!
        switch ((at * 7 + round) % 6) {
          case 0: return await cache.set(NS, key, entry(`set ${round}.${at}`, { tags: ['t'] }))
          case 1: return await cache.delete(NS, key)
          case 2: return await cache.read(key, async () => `load ${++origin}`, { tags: ['t'], refresh: at % 2 === 0 })
          case 3: return await cache.get(NS, key)
          case 4: return round % 5 === 0 ? await cache.invalidate(NS, { tags: ['t'] }) : await cache.update(key, async () => `update ${++origin}`)
          default: return round % 7 === 0 ? await say(url, 'flush_all\r\n') : await cache.touch(NS, key, 60)
        }
      }))
    }
    for (const key of keys) {
      await eventually(async () => {
        const there = await behind(caches[0]!, key)
        const seen = await Promise.all(caches.map(async ({ cache }) => await valueIn(cache, key)))
        // What memcached forgot may still be in memory.
        return seen.every((value) => value === undefined || value === there || there === undefined)
      }, `they agree on ${key}`)
    }
    for (const { cache } of caches) for (const key of keys) await cache.delete(NS, key)
    await eventually(async () => (await Promise.all(caches.flatMap(({ cache }) => keys.map(async (key) => await valueIn(cache, key))))).every((value) => value === undefined), 'what is deleted is gone everywhere')
  })
}

t.test('memcached in trouble', async (t) => {
  t.test('hung: no call waits for long, a write that is carried out late is not missed, and both sides agree afterwards', async (t) => {
    const server = await startMemcached(t)
    const open = await startMemcachedCaches(t, { url: server.url })
    const [a, b] = [await open(t), await open(t)]
    await eventually(async () => await Promise.resolve(a.cache.set(NS, 'k', entry('before'))).then(() => true, () => false), 'A writes')
    await eventually(async () => await valueIn(b.cache, 'k') === 'before' && !(b.cache.peek(NS, 'k') instanceof Promise), 'B holds it')
    for (let round = 0; round < 3; round++) {
      server.pause()
      const began = Date.now()
      const outcomes = await Promise.allSettled([
        a.cache.set(NS, 'k', entry(`late ${round}`)), a.cache.set(NS, 'fresh', entry(`late ${round}`)), a.cache.delete(NS, 'other'), a.cache.get(NS, 'missing'), a.cache.list(NS, { limit: 1 }),
        ...Array.from({ length: 50 }, async (_, i) => await b.cache.get(NS, `missing ${i}`))
      ])
      t.ok(Date.now() - began < 8000, `it took ${Date.now() - began} ms`)
      for (const outcome of outcomes) t.match(outcome, { status: 'rejected', reason: { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 } })
      t.equal((await a.cache.read('other', () => 'from the origin')).value, 'from the origin')
      server.resume()
      await eventually(async () => await a.backend.get(NS, 'k').then(() => true, () => false), 'it answers again')
      await eventually(async () => {
        const [there, inA, inB] = await Promise.all([behind(a, 'k'), valueIn(a.cache, 'k'), valueIn(b.cache, 'k')]).catch(() => [0, 1, 2])
        return there === inA && there === inB
      }, 'memory holds what memcached does', 20_000)
    }
    await eventually(async () => await Promise.resolve(a.cache.set(NS, 'k', entry('after'))).then(() => true, () => false), 'A writes again')
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'life goes on')
  })

  t.test('killed and back empty: entries are lost, memory is still right, loads from before are not kept', async (t) => {
    const server = await startMemcached(t)
    const open = await startMemcachedCaches(t, { url: server.url })
    const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
    await a.cache.set(NS, 'k', entry('before'))
    await a.cache.set(NS, 'other', entry('before'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'before' && !(b.cache.peek(NS, 'k') instanceof Promise), 'B holds it')
    const { loader, begun, release } = heldLoader('old')
    const reading = a.cache.read('loading', loader)
    await begun
    await server.kill()
    t.equal(await valueIn(b.cache, 'k'), 'before', 'B answers from memory')
    t.equal(await a.cache.getOrSet('origin', () => 'origin'), 'origin')
    await t.rejects(Promise.resolve(a.cache.set(NS, 'k', entry(1))), { code: 'ERR_BACKEND_UNAVAILABLE' })
    await server.restart()
    await eventually(async () => await b.backend.get(NS, 'other').then((found) => found === undefined, () => false), 'it is back, empty')
    await eventually(async () => await Promise.resolve(a.cache.delete(NS, 'loading')).then(() => true, () => false), 'A reaches it')
    release()
    t.equal((await reading).value, 'old')
    t.equal(await behind(b, 'loading'), undefined)
    await a.cache.set(NS, 'k', entry('after'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'B hears of changes as before')
  })

  t.test('full, and not allowed to evict: writes are refused as such', async (t) => {
    const server = await startMemcached(t, ['-M', '-m', '2'])
    const { cache } = await (await startMemcachedCaches(t, { url: server.url }))(t, PATIENT)
    await cache.set(NS, 'k', entry('x'))
    const fill = async (): Promise<void> => { for (let i = 0; i < 200; i++) await cache.set(NS, `big ${i}`, entry('y'.repeat(400_000))) }
    await t.rejects(fill(), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
    t.equal(await valueIn(cache, 'k'), 'x')
    t.equal(await cache.getOrSet('loaded', () => 'z'.repeat(400_000)).then(({ length }) => length), 400_000, 'a load is answered, if not kept')
  })

  t.test('without a way to list its items: what needs that is refused in words', async (t) => {
    for (const args of [['-X'], ['-o', 'no_lru_crawler']]) {
      const server = await startMemcached(t, args)
      const { cache } = await (await startMemcachedCaches(t, { url: server.url }))(t, PATIENT)
      await cache.set(NS, 'k', entry('x', { tags: ['t'] }))
      const calls: (() => Promise<unknown>)[] = [
        async () => await cache.list(NS, { limit: 1 }), async () => await cache.clear(NS),
        async () => await cache.invalidate(NS, { tags: ['t'] }), async () => await cache.statistics(NS)
      ]
      for (const call of calls) {
        await t.rejects(call(), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422, message: /without -X/ })
      }
      t.equal(await valueIn(cache, 'k'), 'x')
    }
  })
})

t.test('its coordinator in trouble', async (t) => {
  t.test('Redis restarted empty: nothing from before is found, so that nothing which fell comes back', async (t) => {
    const redis = await startRedis(t)
    const open = await startMemcachedCaches(t, { over: { redis: redis.url } })
    const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
    await a.cache.set(NS, 'fallen', entry('old', { tags: ['t'] }))
    await a.backend.invalidate(NS, { tags: ['t'] }) // no sweep: the entry is still in memcached
    await a.cache.set(NS, 'k', entry('before'))
    await redis.kill()
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is not trusted', 5000)
    await redis.restart()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    const late = await open(t, PATIENT)
    for (const key of ['fallen', 'k']) t.equal(await behind(late, key), undefined, key)
    await a.cache.set(NS, 'k', entry('after'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'life goes on')
  })

  t.test('Redis restarted with what it had saved: the stamps it lost are not given twice', async (t) => {
    const redis = await startRedis(t, { appendOnly: true })
    const open = await startMemcachedCaches(t, { over: { redis: redis.url } })
    const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
    await a.cache.set(NS, 'k', entry('before'))
    const stamp = await a.backend.stamp()
    await redis.restart()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    t.ok(await a.backend.stamp() > stamp + 1000, 'a new epoch has begun')
    t.equal(await behind(b, 'k'), undefined)
    t.equal(await valueIn(a.cache, 'k'), undefined)
  })

  t.test('Redis hung: nothing waits for long, and both sides agree afterwards', async (t) => {
    const redis = await startRedis(t)
    const open = await startMemcachedCaches(t, { over: { redis: redis.url } })
    const [a, b] = [await open(t), await open(t)]
    await eventually(async () => await Promise.resolve(a.cache.set(NS, 'k', entry('before'))).then(() => true, () => false), 'A writes')
    await eventually(async () => await valueIn(b.cache, 'k') === 'before', 'B holds it')
    redis.pause()
    const began = Date.now()
    const outcomes = await Promise.allSettled([a.cache.set(NS, 'k', entry('late')), a.cache.delete(NS, 'other'), b.cache.set(NS, 'other', entry(1)), a.cache.invalidate(NS, { tags: ['t'] })])
    t.ok(Date.now() - began < 8000, `it took ${Date.now() - began} ms`)
    for (const outcome of outcomes) t.match(outcome, { status: 'rejected', reason: { code: 'ERR_BACKEND_UNAVAILABLE' } })
    t.equal((await a.cache.read('loaded', () => 'origin')).value, 'origin')
    redis.resume()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    await eventually(async () => {
      const [there, inA, inB] = await Promise.all([behind(a, 'k'), valueIn(a.cache, 'k'), valueIn(b.cache, 'k')]).catch(() => [0, 1, 2])
      return there === inA && there === inB
    }, 'they agree', 20_000)
  })

  t.test('PostgreSQL crashed: nothing from before is found', async (t) => {
    const postgres = await startPostgres(t)
    const open = await startMemcachedCaches(t, { over: { database: postgres.url } })
    const [a, b] = [await open(t, PATIENT), await open(t, PATIENT)]
    await a.cache.set(NS, 'fallen', entry('old', { tags: ['t'] }))
    await a.backend.invalidate(NS, { tags: ['t'] })
    await postgres.kill()
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is not trusted', 5000)
    await postgres.restart()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again', 20_000)
    t.equal(await behind(b, 'fallen'), undefined)
    await eventually(async () => await Promise.resolve(a.cache.set(NS, 'k', entry('after'))).then(() => true, () => false), 'A writes')
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'life goes on')
  })
})

/** Makes changes whose maker is gone once they are made. */
async function dieBeforeAnnouncing (backend: MemcachedBackend, change: () => Promise<unknown>): Promise<void> {
  const { coordination } = backend
  const announce = coordination.announce.bind(coordination)
  coordination.announce = async () => { throw new Error('Died') }
  await change().catch(() => {})
  coordination.announce = announce
}
