import { Redis } from 'ioredis'
import t from 'tap'
import { RedisBackend } from '../../../../../services/cache/backends/redis/redis.js'
import { encode } from '../../../../../services/cache/encoding.js'
import { eventually, openSharedCache } from '../../../../support/caches.js'
import { redisUrl, startRedis } from '../../../../support/servers.js'

const NS = 'default'

t.test('what is no announcement voids memory, and ends nothing', async (t) => {
  const url = await redisUrl(t)
  const [a, b] = [await openSharedCache(t, url), await openSharedCache(t, url)]
  const stamp = await a.backend.stamp()
  const strange = [
    'no announcement', '5 null', '6 {', `${stamp} {"v":1}`, `${stamp} {"v":2,"s":"x","n":"n"}`, `${stamp} {"v":1,"s":"x","n":"n","i":{"tags":5}}`,
    `${stamp} {"v":1,"s":"x","n":"n","i":{"pattern":{}}}`, `${stamp} {"v":1,"s":"x","n":"n","k":7}`
  ]
  for (const message of strange) {
    await b.cache.set(NS, 'k', { value: encode(message), dataType: 'json' })
    await eventually(() => a.backend.isFollowing && b.backend.isFollowing, 'both follow')
    t.equal((await a.cache.get(NS, 'k'))?.value, encode(message))
    await b.client.publish('larder:test:changes', message)
    await eventually(() => a.backend.isFollowing && a.store.memory.items === 0, `memory is void after ${message}`)
  }
})

t.test('a field of the ledger that is none of ours is left alone', async (t) => {
  const a = await openSharedCache(t, await redisUrl(t))
  await a.client.hset('larder:test:ledger', 'foreign', '1', '[1,2]', '2', 'null', '3')
  t.same(await a.backend.inForce(), [])
  await a.store.clean()
})

t.test('memory outlives the writes of others, whichever of pulse and announcement is heard first', async (t) => {
  const url = await redisUrl(t)
  const [a, b] = [await openSharedCache(t, url), await openSharedCache(t, url)]
  await eventually(() => a.backend.isFollowing, 'it follows')
  await a.cache.set(NS, 'kept', { value: '1', dataType: 'number' })
  const until = Date.now() + 1500
  for (let at = 0; Date.now() < until; at++) {
    await Promise.all([b.cache.set(NS, `k${at % 100}`, { value: '1', dataType: 'number' }), b.cache.set(NS, 'other', { value: '1', dataType: 'number' })])
    // A busy process reads what waits on its two connections in any order.
    if (at % 50 === 0) for (const end = Date.now() + 5; Date.now() < end;);
  }
  t.ok(a.store.memory.find(NS, 'kept') !== -1)
})

t.test('a server that hangs is not waited for, and followed once it is back', async (t) => {
  const server = await startRedis(t)
  server.pause()
  const client = new Redis(server.url, { enableOfflineQueue: false, commandTimeout: 1000, retryStrategy: () => 50 })
  client.on('error', () => {})
  const backend = new RedisBackend({ client, prefix: 'larder:test', now: Date.now })
  t.teardown(async () => {
    await backend.close()
    client.disconnect()
  })
  const begun = Date.now()
  await backend.follow({ onChange () {}, onResync () {}, onRelease () {}, onLost () {} })
  t.ok(Date.now() - begun < 500)
  t.notOk(backend.isFollowing)
  server.resume()
  await eventually(() => backend.isFollowing, 'it is followed')
})
