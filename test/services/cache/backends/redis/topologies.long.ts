import t, { type Test } from 'tap'
import { setImmediate } from 'node:timers/promises'
import Fastify from 'fastify'
import { Cluster } from 'ioredis'
import { loadConfig } from '../../../../../config.js'
import health from '../../../../../plugins/health.js'
import redis from '../../../../../plugins/redis.js'
import { RedisLeaseKeeper } from '../../../../../services/cache/backends/redis/lease-keeper.js'
import { RedisBackend } from '../../../../../services/cache/backends/redis/redis.js'
import { Cache } from '../../../../../services/cache/cache.js'
import { monotonicNow } from '../../../../../services/cache/clock.js'
import { decode } from '../../../../../services/cache/encoding.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { SharedStore } from '../../../../../services/cache/stores/shared-store.js'
import { eventually } from '../../../../support/caches.js'
import { type Owner, startRedisCluster, startRedisSentinel } from '../../../../support/servers.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const PATIENCE = 30_000

/** A cache as the service opens it, from what REDIS_URL says. */
async function open (owner: Owner, url: string): Promise<{ cache: Cache, store: SharedStore, backend: RedisBackend, keeper: RedisLeaseKeeper, tag: string }> {
  const app = Fastify()
  owner.teardown(async () => { await app.close() })
  await app.register(health, {})
  await app.register(redis, { ...loadConfig({ REDIS_URL: url }).redis!, required: true })
  const now = monotonicNow()
  const tag = app.redis instanceof Cluster ? '{larder:test}' : 'larder:test'
  const backend = new RedisBackend({ client: app.redis, prefix: tag, now })
  const store = new SharedStore({ backend, now, limits: DEFAULT_LIMITS })
  await store.open()
  const cache = new Cache({ store, now })
  app.addHook('onClose', async () => { await cache.close() })
  const keeper = new RedisLeaseKeeper({ client: app.redis, prefix: app.redis instanceof Cluster ? '{larder:elsewhere}' : 'larder:elsewhere' })
  return { cache, store, backend, keeper, tag }
}

/** What a cache promises, over any topology. */
async function promises (t: Test, a: Cache, b: Cache): Promise<void> {
  await a.set(NS, 'k', entry('one', { tags: ['t'] }))
  t.equal(await valueIn(b, 'k'), 'one')
  await a.set(NS, 'k', entry('two', { tags: ['t'] }))
  await eventually(async () => await valueIn(b, 'k') === 'two', 'B hears of it')
  const keys = Array.from({ length: 50 }, (_, i) => `many${i}`)
  for (const key of keys) await a.set(NS, key, entry(key))
  t.strictSame((await b.getMany(NS, keys)).map((found) => found && decode(found.value)), keys)
  t.equal((await b.list(NS, { pattern: 'many*', limit: 100 })).total, 50)
  await a.delete(NS, 'n')
  await Promise.all(Array.from({ length: 20 }, async (_, i) => await (i % 2 === 0 ? a : b).increment(NS, 'n', 1)))
  await eventually(async () => await valueIn(a, 'n') === 20 && await valueIn(b, 'n') === 20, 'increments add up')
  t.equal(await a.invalidate(NS, { tags: ['t'] }), 1)
  await eventually(async () => await valueIn(b, 'k') === undefined, 'B hears of it')
  t.equal(await b.invalidate(NS, { pattern: 'many*' }), 50)
  t.equal(await b.getOrSet('loaded', () => 'by B'), 'by B')
}

/** Asks both caches all the while: nobody waits beyond the deadline, and loaders answer. */
async function askedAllTheWhile (t: Test, caches: Cache[], until: () => Promise<unknown>): Promise<void> {
  const asking = new AbortController()
  let slowest = 0
  let asked = 0
  const readers = caches.map(async (cache) => {
    while (!asking.signal.aborted) {
      const began = performance.now()
      await cache.getOrSet(`asked${asked++ % 5}`, () => 'from the origin', { ttl: 0.2 })
      slowest = Math.max(slowest, performance.now() - began)
      // While Redis is left alone nothing here waits for anything outside.
      await setImmediate()
    }
  })
  try {
    await until()
  } finally {
    asking.abort()
    await Promise.all(readers)
  }
  // A read that finds nothing asks Redis a few times, each time within the deadline of 200 ms.
  t.ok(slowest < 8000, `the slowest of ${asked} took ${slowest.toFixed(0)} ms`)
}

t.test('a cluster', { timeout: 120_000 }, async (t) => {
  const servers = await startRedisCluster(t)
  const [a, b] = [await open(t, servers.url), await open(t, servers.url)]
  await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow', PATIENCE)

  await t.test('keeps what a cache promises', async (t) => { await promises(t, a.cache, b.cache) })

  await t.test('gives leases', async (t) => {
    const lease = await a.cache.getOrLease(NS, 'leased', 5000)
    const waiting = b.cache.getOrLease(NS, 'leased', 5000)
    await b.cache.fill(NS, 'leased', entry('by A'), lease.kind === 'lease' ? lease.token : '')
    t.match(await waiting, { kind: 'found', entry: { value: '"by A"' } })
  })

  await t.test('keeps the leases of a backend whose order is elsewhere', async (t) => {
    const [first, second] = [await a.keeper.acquire(NS, 'k', 5000, { stamp: 7, changed: 3 }), await b.keeper.acquire(NS, 'k', 5000, { stamp: 8, changed: 3 })]
    t.match(first, { isMine: true, stamp: 7 })
    t.match(second, { isMine: false, stamp: 7, token: first.token })
    t.equal(await b.keeper.renew(NS, 'k', first.token, 5000), true)
    const next = await b.keeper.acquire(NS, 'k', 5000, { stamp: 9, changed: 8 })
    t.match(next, { isMine: true, stamp: 9 }, 'the key has changed since')
    await a.keeper.release(NS, 'k', first.token)
    t.match(await a.keeper.acquire(NS, 'k', 5000, { stamp: 9, changed: 8 }), { isMine: false, token: next.token }, 'who has lost it gives nothing back')
    await b.keeper.release(NS, 'k', next.token)
    t.match(await a.keeper.acquire(NS, 'k', 5000, { stamp: 9, changed: 8 }), { isMine: true })
  })

  await t.test('keeps limits', async (t) => {
    a.cache.configure({ maxItems: 10 })
    b.cache.configure({ maxItems: 10 })
    for (let i = 0; i < 30; i++) await (i % 2 === 0 ? a : b).cache.set(NS, `limited${i}`, entry(i))
    await eventually(async () => (await a.backend.usage())?.items === 10, 'ten are left', PATIENCE)
    t.equal((await b.cache.list(NS, { limit: 100 })).total, 10)
    for (const { cache } of [a, b]) cache.configure({ maxItems: Infinity, maxMemory: Infinity })
  })

  await t.test('goes on when a master is killed', async (t) => {
    await a.cache.set(NS, 'before', entry('the fall'))
    const master = await servers.masterOf(a.tag)
    await askedAllTheWhile(t, [a.cache, b.cache], async () => {
      await master.kill()
      await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 5000)
      await eventually(async () => await Promise.resolve(a.cache.set(NS, 'after', entry('the fall'))).then(() => true, () => false), 'a write works', PATIENCE)
      await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again', PATIENCE)
    })
    await eventually(async () => await valueIn(b.cache, 'after') === 'the fall', 'B has it')
    await promises(t, a.cache, b.cache)
  })
})

t.test('a master that sentinels watch', { timeout: 120_000 }, async (t) => {
  const servers = await startRedisSentinel(t)
  const [a, b] = [await open(t, servers.url), await open(t, servers.url)]
  await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow', PATIENCE)
  await promises(t, a.cache, b.cache)

  await t.test('is replaced when it is killed', async (t) => {
    await askedAllTheWhile(t, [a.cache, b.cache], async () => {
      await servers.master.kill()
      await eventually(async () => await Promise.resolve(a.cache.set(NS, 'after', entry('the fall'))).then(() => true, () => false), 'a write works', PATIENCE)
      await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again', PATIENCE)
    })
    await eventually(async () => await valueIn(b.cache, 'after') === 'the fall', 'B has it')
    await promises(t, a.cache, b.cache)
  })

  await t.test('is a replica when it comes back, and written to no more', async () => {
    await servers.master.restart()
    await a.cache.set(NS, 'k', entry('later'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'later', 'B has it')
  })
})
