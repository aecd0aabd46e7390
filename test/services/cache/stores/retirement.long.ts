import t from 'tap'
import { eventually, openSharedCache, type SharedCache } from '../../../support/caches.js'
import { redisUrl } from '../../../support/servers.js'
import { entryOf as entry, Gate } from '../setup.js'

const NS = 'default'

/** Redis has forgotten every invalidation, and the process as well. */
async function forgotten ({ backend, store }: SharedCache): Promise<void> {
  await eventually(async () => !(await backend.inForce()).some(({ namespace }) => namespace === NS), 'nothing is in force')
  await store.clean()
}

t.test('what fell to an invalidation does not come back when that is forgotten', async (t) => {
  const url = await redisUrl(t)
  const open = async (retireAfter = 300) => await openSharedCache(t, url, { retireAfter, deadline: 2000 })

  await t.test('though its load ended after the sweep', async (t) => {
    const [a, b] = [await open(), await open()]
    const gate = new Gate()
    const loading = a.cache.getOrSet('slow', async () => { await gate.promise; return 'old' }, { ttl: 1000, tags: ['t'] })
    await eventually(() => a.cache.counters().loads === 1, 'the load began')
    t.equal(await b.cache.invalidate(NS, { tags: ['t'] }), 0)
    gate.open()
    t.equal(await loading, 'old', 'who waited is answered')
    await forgotten(a)
    await forgotten(b)
    t.equal(await a.cache.peek(NS, 'slow'), undefined)
    t.equal(await b.cache.peek(NS, 'slow'), undefined)
  })

  await t.test('though a pass cleaned up during the sweep', async (t) => {
    const a = await open(5000)
    for (let at = 0; at < 30; at++) {
      await Promise.all(Array.from({ length: 100 }, async (_, i) => await a.cache.set('many', `k${at}:${i}`, entry(i, { tags: ['t'] }))))
    }
    const invalidating = a.cache.invalidate('many', { tags: ['t'] })
    await eventually(async () => (await a.backend.inForce()).length > 0, 'it is in force')
    await a.store.clean()
    t.equal(await invalidating, 3000, 'all of it is counted')
    t.equal((await a.cache.list('many', { limit: 1 })).total, 0)
    const scanned: string[] = []
    for await (const entries of a.backend.scan('many')) scanned.push(...entries.map(({ key }) => key))
    t.same(scanned, [], 'and gone from Redis')
  })

  await t.test('though it was only made stale', async (t) => {
    const a = await open()
    await a.cache.getOrSet('soft', () => 'old', { ttl: 1000, grace: 1000, tags: ['soft'] })
    await a.cache.invalidate(NS, { tags: ['soft'], soft: true })
    await forgotten(a)
    t.equal(await a.cache.peek(NS, 'soft'), undefined, 'not fresh again')
    t.equal(await a.cache.getOrSet('soft', () => { throw new Error('down') }), 'old', 'but still there for its grace')
  })

  await t.test('though nobody waited for it to be counted', async (t) => {
    const a = await open()
    await a.cache.set(NS, 'uncounted', entry(1, { tags: ['u'] }))
    await a.cache.outdate({ tags: ['u'] })
    await forgotten(a)
    t.equal(await a.cache.peek(NS, 'uncounted'), undefined)
    t.notOk(await a.client.exists('larder:test:entry:default:uncounted'), 'and it takes no space')
  })
})

t.test('what a process left behind that is gone is taken over by another', async (t) => {
  const url = await redisUrl(t)
  const lost = await openSharedCache(t, url)
  await lost.cache.set(NS, 'k', entry(1, { tags: ['t'] }))
  await lost.cache.invalidate(NS, { tags: ['t'] })
  await lost.cache.close()
  const heir = await openSharedCache(t, url, { retireAfter: 20 })
  await eventually(async () => {
    await heir.store.clean()
    return (await heir.backend.inForce()).length === 0
  }, 'it is withdrawn')
})

t.test('a fault of Redis in work that nobody waits for is told, and ends nothing', async (t) => {
  const faults: unknown[] = []
  const a = await openSharedCache(t, await redisUrl(t), { retireAfter: 20, onFault: (fault) => { faults.push(fault) } })
  await a.cache.invalidate(NS, { tags: ['t'] })
  await a.client.del('larder:test:ledger')
  await a.client.set('larder:test:ledger', 'not a hash')
  a.cache.configure({ cleanupInterval: 1 })
  await eventually(() => faults.length >= 2, 'both the retirement and the cleaning tell')
  t.match(faults[0], /WRONGTYPE/)
})
