import t from 'tap'
import { eventually, openSharedCache } from '../../../../support/caches.js'
import { redisUrl, startRedis } from '../../../../support/servers.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const LEDGER = 'larder:test:ledger'

t.test('a ledger of invalidations that the server has evicted brings nothing back', async (t) => {
  const url = await redisUrl(t)
  const a = await openSharedCache(t, url, { deadline: 2000 })
  await a.cache.set(NS, 'fallen', entry('old', { tags: ['t'] }))
  await a.cache.set(NS, 'other', entry('good'))
  await a.backend.invalidate(NS, { tags: ['t'] }) // no sweep: the entry is still there
  await a.client.del(LEDGER)
  const late = await openSharedCache(t, url, { deadline: 2000 })
  t.equal(await valueIn(late.cache, 'fallen'), undefined, 'not for a process that starts later')
  await eventually(async () => await valueIn(a.cache, 'fallen') === undefined, 'nor within a second for one that was there', 5000)
  await eventually(() => a.store.isTrusted, 'A follows')
  t.equal(await valueIn(a.cache, 'other'), undefined, 'whatever is from before is void')
  await a.cache.set(NS, 'other', entry('new'), { absent: true })
  t.equal(await valueIn(late.cache, 'other'), 'new')
  await a.store.clean()
  t.notOk(await a.client.exists(`larder:test:entry:${NS}:fallen`), 'and takes no space')
})

t.test('a counter that the server has evicted leaves what is cached as it is', async (t) => {
  const url = await redisUrl(t)
  const [a, b] = [await openSharedCache(t, url, { deadline: 2000 }), await openSharedCache(t, url, { deadline: 2000 })]
  await a.cache.set(NS, 'kept', entry('good', { tags: ['k'] }))
  await a.cache.set(NS, 'fallen', entry('old', { tags: ['t'] }))
  await b.backend.invalidate(NS, { tags: ['t'] })
  await eventually(async () => await valueIn(a.cache, 'fallen') === undefined, 'it fell')
  await a.client.del('larder:test:counter')
  await a.cache.set(NS, 'next', entry(1))
  await eventually(async () => a.store.isTrusted && await valueIn(a.cache, 'kept') === 'good', 'it is there')
  t.equal(await valueIn(a.cache, 'fallen'), undefined)
})

t.test('a server that comes back with an older copy brings nothing back that was deleted since', async (t) => {
  const server = await startRedis(t)
  const [a, b] = [await openSharedCache(t, server.url, { deadline: 2000 }), await openSharedCache(t, server.url, { deadline: 2000 })]
  await a.cache.set(NS, 'k', entry('old'))
  await a.client.save()
  await a.cache.delete(NS, 'k')
  t.equal(await valueIn(b.cache, 'k'), undefined)
  await server.kill()
  await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted')
  await server.restart()
  await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
  t.equal((await a.client.getBuffer(`larder:test:entry:${NS}:k`))?.subarray(-5).toString(), '"old"', 'the server has it')
  t.equal(await valueIn(a.cache, 'k'), undefined)
  t.equal(await valueIn(b.cache, 'k'), undefined)
  await a.cache.set(NS, 'k', entry('new'))
  await eventually(async () => await valueIn(b.cache, 'k') === 'new', 'they agree')
})

t.test('out of memory: a write is refused once, and not tried again; no breaker opens', async (t) => {
  const { cache, client, backend } = await openSharedCache(t, await redisUrl(t), { deadline: 2000 })
  await cache.set(NS, 'k', entry('x'))
  for (const key of ['tagged', 'p:1', 'deleted']) await cache.set(NS, key, entry('x', { tags: key === 'tagged' ? ['t'] : [] }))
  await client.config('SET', 'maxmemory', '1', 'maxmemory-policy', 'noeviction')
  await client.config('RESETSTAT')
  for (let at = 0; at < 10; at++) await t.rejects(Promise.resolve(cache.set(NS, `k${at}`, entry(at))), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
  t.equal(Number(/errorstat_OOM:count=(\d+)/.exec(await client.info('errorstats'))?.[1]), 10, 'as often as it was asked for')
  t.equal(backend.breaker, 'closed')
  t.equal(await valueIn(cache, 'k'), 'x', 'reads go on')
  t.equal(await cache.invalidate(NS, { tags: ['t'] }), 1, 'invalidations as well')
  t.equal(await cache.invalidate(NS, { pattern: 'p:*' }), 1)
  await cache.delete(NS, 'deleted')
  for (const key of ['tagged', 'p:1', 'deleted']) t.equal(await valueIn(cache, key), undefined)
})

t.test('many invalidations at once share their sweeps', async (t) => {
  const { cache, client } = await openSharedCache(t, await redisUrl(t), { deadline: 2000 })
  for (let at = 0; at < 200; at++) await cache.set(NS, `k${at}`, entry(at, { tags: [`t${at % 50}`] }))
  await client.config('RESETSTAT')
  const counts = await Promise.all(Array.from({ length: 50 }, async (_, at) => await cache.invalidate(NS, { tags: [`t${at}`] })))
  t.strictSame(counts, Array.from({ length: 50 }, () => 4), 'each counts its own')
  const scans = Number(/cmdstat_scan:calls=(\d+)/.exec(await client.info('commandstats'))?.[1])
  t.ok(scans <= 10, `${scans} steps for fifty invalidations`)
})
