import t from 'tap'
import { rmSync } from 'node:fs'
import { RedisBackend } from '../../../../services/cache/backends/redis/redis.js'
import type { BreakerState } from '../../../../services/cache/breaker.js'
import { Cache } from '../../../../services/cache/cache.js'
import { monotonicNow } from '../../../../services/cache/clock.js'
import { BackendUnavailableError } from '../../../../services/cache/errors.js'
import type { Invalidation } from '../../../../services/cache/ledger.js'
import { DEFAULT_LIMITS } from '../../../../services/cache/limits.js'
import { SharedStore } from '../../../../services/cache/stores/shared-store.js'
import type { QueueState } from '../../../../services/cache/turns.js'
import { eventually, openSharedCache, type SharedCache } from '../../../support/caches.js'
import { heldMemory } from '../../../support/heap.js'
import { Proxy } from '../../../support/proxy.js'
import { type Owner, redisUrl, startRedis } from '../../../support/servers.js'
import { entryOf as entry, Gate, heldLoader, valueIn } from '../setup.js'

const NS = 'default'

/** Two caches on one Redis, both following it. */
async function pair (test: Owner, url?: string): Promise<[SharedCache, SharedCache]> {
  const address = url ?? await redisUrl(test)
  return [await openSharedCache(test, address), await openSharedCache(test, address)]
}

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

t.test('an invalidation that was made, and whose answer was lost, holds in the process that asked for it as well', async (t) => {
  const url = await redisUrl(t)
  const proxy = await Proxy.start(t, Number(new URL(url).port), 'redis')
  const a = await openSharedCache(t, proxy.through(url), { deadline: 5000 })
  const b = await openSharedCache(t, url, { deadline: 5000 })
  await a.cache.getOrSet('k', () => 'before', { tags: ['lost'], ttl: 60 })
  t.equal(await valueIn(b.cache, 'k'), 'before')
  proxy.cut({ statement: /"i":\{"tags":\["lost"\]/, moment: 'after' })
  await t.rejects(a.cache.invalidate(NS, { tags: ['lost'] }), BackendUnavailableError)
  await eventually(async () => await valueIn(b.cache, 'k') === undefined, 'B hears of it')
  await eventually(async () => await valueIn(a.cache, 'k') === undefined, 'A finds out')
})

t.test('an invalidation that is heard late voids what a load brought before it was heard', async (t) => {
  const b = await openSharedCache(t, await redisUrl(t), { deadline: 2000 })
  const now = monotonicNow()
  const backend = new RedisBackend({ client: b.client, prefix: 'larder:test', now, deadline: 2000 })
  const follow = backend.follow.bind(backend)
  const late: (() => void)[] = []
  backend.follow = async (listener) => {
    await follow({
      onChange: (change) => { if (change.kind === 'invalidation') late.push(() => { listener.onChange(change) }); else listener.onChange(change) },
      onResync: (inForce, stamp) => { listener.onResync(inForce, stamp) },
      onRelease: (namespace, key) => { listener.onRelease(namespace, key) },
      onLost: () => { listener.onLost() }
    })
  }
  const store = new SharedStore({ backend, now, limits: DEFAULT_LIMITS })
  await store.open()
  const a = new Cache({ store, now, limits: DEFAULT_LIMITS })
  t.teardown(() => a.close())
  const invalidations: Invalidation[] = [{ tags: ['t'] }, { pattern: 'k*' }, { all: true }]
  for (const what of invalidations) {
    const { loader, begun, release } = heldLoader('old')
    const reading = a.read('k', loader, { tags: ['t'] })
    await begun
    await b.cache.invalidate(NS, what)
    release()
    t.equal((await reading).value, 'old')
    t.equal(await valueIn(b.cache, 'k'), undefined, 'who invalidated it does not meet it')
    t.equal(await valueIn(a, 'k'), 'old', 'not heard yet')
    await eventually(() => late.length > 0, 'the announcement arrives')
    for (const hear of late.splice(0)) hear()
    t.equal(await valueIn(a, 'k'), undefined, 'heard')
  }
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
    t.ok(Date.now() - began < 5000, `it took ${Date.now() - began} ms`)
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 5000)
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

  t.test('hung under thousands of operations: each is answered within one deadline, and the breaker opens once', async (t) => {
    // Each deadline more would be seen; a busy machine takes a while for thousands of them.
    const [DEADLINE, SLACK] = [2000, 4000]
    const server = await startRedis(t)
    const { cache, backend, store } = await openSharedCache(t, server.url, { deadline: DEADLINE })
    const states: BreakerState[] = []
    backend.switch.watch((state) => { states.push(state) })
    server.pause()
    const began = performance.now()
    const keys = Array.from({ length: 2000 }, (_, at) => `k${at}`)
    const read = await Promise.all(keys.map(async (key) => await cache.read(key, () => key)))
    t.ok(performance.now() - began < DEADLINE + SLACK, `the reads took ${performance.now() - began} ms`)
    t.strictSame(read.map(({ value }) => value), keys, 'each has its value from the origin')
    t.strictSame(states, ['open'])
    const [{ waiting, refused }] = backend.queues as [QueueState]
    t.strictSame({ waiting, refused }, { waiting: 0, refused: 0 })
    const refusing = performance.now()
    const written = await Promise.allSettled(keys.map(async (key) => await cache.set(NS, key, entry(1))))
    t.ok(performance.now() - refusing < DEADLINE + SLACK)
    t.ok(written.every((each) => each.status === 'rejected' && each.reason instanceof BackendUnavailableError))
    server.resume()
    await eventually(() => store.isTrusted, 'it is followed again')
    await eventually(async () => await backend.ping().then(() => true, () => false), 'it is asked again')
    await Promise.all(keys.map(async (key) => await cache.set(NS, key, entry(key))))
    t.strictSame(await Promise.all(keys.map(async (key) => await valueIn(cache, key))), keys, 'and does all of it')
    t.equal(backend.breaker, 'closed')
  })

  t.test('slow: who waits longer than a deadline is answered while others are, and no breaker opens', async (t) => {
    const [DEADLINE, LATENCY] = [2500, 300]
    const url = await redisUrl(t)
    const proxy = await Proxy.start(t, Number(new URL(url).port), 'redis')
    const { backend } = await openSharedCache(t, proxy.through(url), { deadline: DEADLINE })
    const states: BreakerState[] = []
    backend.switch.watch((state) => { states.push(state) })
    proxy.latency(LATENCY)
    const began = performance.now()
    // A hundred at once: the last of them have their turn after more than a deadline.
    const found = await Promise.all(Array.from({ length: 1000 }, async (_, at) => await backend.get(NS, `k${at}`)))
    t.ok(performance.now() - began > DEADLINE, 'it took longer than that')
    t.ok(found.every((each) => each === undefined))
    t.strictSame(states, [])
    t.match(backend.queues, [{ waiting: 0, refused: 0, late: 0 }])
  })

  t.test('a hundred are under way and twenty thousand wait, more are refused at once', async (t) => {
    const server = await startRedis(t)
    const { backend } = await openSharedCache(t, server.url, { deadline: 10_000 })
    server.pause()
    const reads = Array.from({ length: 20_107 }, async (_, at) => await backend.get(NS, `k${at}`).then(() => 'answered', (error: unknown) => {
      const { statusCode, message } = error as Error & { statusCode: number }
      return `${statusCode} ${message}`
    }))
    await eventually(() => backend.queues[0]?.refused === 7, 'those are refused while nothing is answered')
    t.match(backend.queues, [{ waiting: 20_000, refused: 7 }])
    server.resume()
    const answers = await Promise.all(reads)
    const busy = '503 More is asked of redis at once than it can answer in time: try again in a moment.'
    t.strictSame([answers.filter((answer) => answer === busy).length, answers.filter((answer) => answer === 'answered').length], [7, 20_100])
    t.match(backend.queues, [{ waiting: 0, late: 0 }])
    t.equal(backend.breaker, 'closed')
  })

  t.test('hung: a pass over everything gives up as soon as an operation', async (t) => {
    const DEADLINE = 2000
    const server = await startRedis(t)
    const { backend } = await openSharedCache(t, server.url, { deadline: DEADLINE })
    await eventually(() => backend.breaker === 'closed', 'it is there')
    server.pause()
    const began = performance.now()
    await t.rejects(async () => { for await (const entries of backend.scan(NS)) t.fail(`${entries.length} entries`) }, { code: 'ERR_BACKEND_UNAVAILABLE' })
    t.ok(performance.now() - began < 3.5 * DEADLINE, `it took ${performance.now() - began} ms`)
    server.resume()
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
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 5000)
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
    await eventually(async () => await valueIn(cache, 'k') === undefined, 'it is gone', 5000)
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
      await eventually(async () => await valueIn(b.cache, 'k') === `${round}!`, `B has ${round}!`, 5000)
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

  t.test('flushed behind a deletion: a load from before it is not kept', async (t) => {
    const [a, b] = await pair(t)
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
