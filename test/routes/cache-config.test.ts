import t from 'tap'
import { Strategies } from '../../schemas/config.js'
import { eventually } from '../support/caches.js'
import { Api, startApp } from './cache/api.js'

const MEMORY = {
  backend: 'memory', strategy: 'lru', max_memory: 104857600, max_items: 10000, default_ttl: 3600, cleanup_interval: 300, compression_enabled: false, encryption_enabled: false
}
const DATABASE = { ...MEMORY, backend: 'database' }
const FILE = { ...MEMORY, backend: 'file' }
const REDIS = { ...MEMORY, backend: 'redis', max_memory: null, max_items: null }

// What takes several processes, or servers in trouble, is in cache-config.long.ts.
void t.test('configuration', async (t) => {
  const app = await startApp(t)
  const memory = new Api(app, 'memory', 'default')
  const redis = new Api(app, 'redis', 'default')
  const database = new Api(app, 'database', 'default')

  await t.test('the default backend is shown, and every other one', async (t) => {
    const response = await app.inject('/api/cache/config')
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { success: true, config: MEMORY, backends: { memory: MEMORY, redis: REDIS, database: DATABASE, file: FILE } })
    t.strictSame((await redis.get('/config')).body.config, REDIS)
  })

  await t.test('the request of the document works', async (t) => {
    const response = await app.inject({ method: 'POST', url: '/api/cache/config', payload: MEMORY })
    t.equal(response.statusCode, 200)
    t.strictSame(response.json<{ config: object }>().config, MEMORY)
  })

  await t.test('memory keeps an entry by any strategy that is built', async (t) => {
    for (const strategy of Strategies) {
      t.match((await memory.post('/set', { key: strategy, value: 1, strategy })).body, { success: true, strategy })
      t.match((await memory.get(`/get/${strategy}`)).body, { cache_item: { value: 1, strategy } })
      await memory.delete(`/delete/${strategy}`)
    }
  })

  await t.test('any subset may be changed, in effect at once', async (t) => {
    const changed = await memory.post('/config', { default_ttl: 60, strategy: 'fifo' })
    t.equal(changed.status, 200)
    t.strictSame(changed.body.config, { ...MEMORY, default_ttl: 60, strategy: 'fifo' })
    t.strictSame((await memory.get('/config')).body.config, { ...MEMORY, default_ttl: 60, strategy: 'fifo' })
    t.match((await memory.set('a', 1)).body, { ttl: 60, strategy: 'fifo' })
    t.equal((await memory.get('/stats')).body.config.strategy, 'fifo')
    t.match((await redis.set('a', 1)).body, { ttl: 3600, strategy: 'lru' }, 'another backend keeps its own')
    await redis.post('/config', { default_ttl: 0 })
    t.match((await redis.set('a', 1)).body, { ttl: 0, strategy: 'lru' })
    t.strictSame((await memory.post('/config', { default_ttl: 60 })).body.config, { ...MEMORY, default_ttl: 60, strategy: 'fifo' })
  })

  await t.test('a new limit evicts what it has no room for, and nothing else', async (t) => {
    await memory.post('/clear')
    await memory.post('/config', { strategy: 'lru' })
    await memory.post('/set-batch', Array.from({ length: 20 }, (_, index) => ({ key: `k${index}`, value: index })))
    await memory.read('k0')
    const before = (await memory.get('/stats')).body.statistics.eviction_count
    await memory.post('/config', { max_items: 5 })
    t.equal((await memory.get('/keys')).body.total_keys, 5)
    t.equal((await memory.read('k0')).body.found, true, 'what was used last stays')
    t.equal((await memory.get('/stats')).body.statistics.eviction_count, before + 15)
    await memory.set('k20', 1)
    t.equal((await memory.get('/keys')).body.total_keys, 5)
    await memory.post('/config', { max_items: 10_000, max_memory: 4000 })
    const refused = await memory.set('large', 'x'.repeat(4000))
    t.match(refused, { status: 413, body: { type: '/problems/entry-too-large' } })
    t.equal((await memory.get('/keys')).body.total_keys, 5, 'and evicts nothing')
    t.match((await memory.post('/set-batch', [{ key: 'large', value: 'x'.repeat(4000) }, { key: 'small', value: 1 }])).body, {
      successful_count: 1, results: [{ error: { status: 413, type: '/problems/entry-too-large' } }, { success: true }]
    })
    await memory.post('/config', { max_memory: 104857600 })
  })

  await t.test('new limits of the database demand evictions, and no more', async (t) => {
    for (let i = 0; i < 20; i++) await database.set(`k${i}`, 1)
    t.match((await database.post('/config', { max_items: 5 })).body.config, { ...DATABASE, max_items: 5 })
    await eventually(async () => (await database.get('/keys')).body.total_keys === 5, 'five are left')
    t.equal((await database.read('k19')).body.found, true)
    await eventually(async () => (await database.get('/stats')).body.statistics.eviction_count === 15, 'fifteen are counted')
    await database.set('k20', 1)
    t.equal((await database.get('/keys')).body.total_keys, 5)
    await database.post('/config', { max_items: 10_000, max_memory: 4000 })
    t.match(await database.set('large', 'x'.repeat(4000)), { status: 413, body: { type: '/problems/entry-too-large' } })
    t.equal((await database.get('/keys')).body.total_keys, 5)
    for (const strategy of ['lru', 'lfu', 'fifo', 'ttl']) t.match(await database.set('k20', 1, { strategy }), { status: 200, body: { strategy } })
    for (const strategy of ['sieve', 's3fifo', 'adaptive']) {
      t.match(await database.set('k20', 1, { strategy }), { status: 422, body: { detail: new RegExp(`cannot evict by ${strategy}`) } })
    }
    await database.post('/config', { max_memory: 104857600 })
  })

  await t.test('redis has limits while it is given some, and then the strategies', async (t) => {
    for (let i = 0; i < 20; i++) await redis.set(`k${i}`, 1)
    t.match(await redis.set('k19', 1, { strategy: 'lfu' }), { status: 422, body: { detail: /maxmemory-policy/ } }, 'without limits its server evicts')
    t.match((await redis.post('/config', { max_items: 5, strategy: 'fifo' })).body.config, { ...REDIS, default_ttl: 0, strategy: 'fifo', max_items: 5 })
    await eventually(async () => (await redis.get('/keys')).body.total_keys === 5, 'five are left')
    t.equal((await redis.read('k19')).body.found, true)
    await eventually(async () => (await redis.get('/stats')).body.statistics.total_items === 5, 'and counted')
    for (const strategy of ['lru', 'lfu', 'fifo', 'ttl']) t.match(await redis.set('k20', 1, { strategy }), { status: 200, body: { strategy } })
    t.equal((await redis.get('/keys')).body.total_keys, 5)
    t.match(await redis.post('/config', { max_items: null }), { status: 422, body: { detail: /maxmemory-policy/ } }, 'fifo needs a limit')
    await redis.post('/config', { max_memory: 4000 })
    t.match(await redis.set('large', 'x'.repeat(4000)), { status: 413, body: { type: '/problems/entry-too-large' } })
    t.equal((await redis.get('/keys')).body.total_keys, 5)
    t.match((await redis.post('/config', { max_items: null, max_memory: null, strategy: 'lru', default_ttl: 3600 })).body.config, REDIS)
    for (let i = 0; i < 20; i++) await redis.set(`k${i}`, 1)
    t.equal((await redis.get('/keys')).body.total_keys, 21)
  })

  await t.test('what cannot be had is refused in words, and changes nothing', async (t) => {
    const before = (await memory.get('/config')).body
    for (const [cache, body, said] of [
      [memory, { compression_enabled: true }, /compression_enabled is for entries that are stored outside the process/], [memory, { encryption_enabled: true, default_ttl: 1 }, /those of memory are not/],
      [redis, { encryption_enabled: true, default_ttl: 1 }, /set CACHE_ENCRYPTION_KEY in every process/], [database, { encryption_enabled: true }, /CACHE_ENCRYPTION_KEY/],
      [redis, { strategy: 'write_through' }, /write_through keeps an entry in memory/], [database, { strategy: 'write_behind' }, /use the memory backend/], [redis, { strategy: 'ttl' }, /maxmemory-policy/], [redis, { strategy: 'sieve', max_items: 5 }, /cannot evict by sieve/], [memory, { max_items: null }, /max_items of memory has to be a number/], [database, { strategy: 'sieve' }, /cannot evict by sieve/]
    ] as const) {
      t.match(await cache.post('/config', body), { status: 422, body: { type: '/problems/unsupported-here', detail: said } }, JSON.stringify(body))
    }
    t.strictSame((await memory.get('/config')).body, before)
    t.equal((await memory.post('/config', { compression_enabled: false })).status, 200)
  })

  await t.test('to change nothing is refused, and one backend is meant', async (t) => {
    for (const body of [{}, { backend: 'memory' }, { namespace: 'n' }]) {
      t.match(await new Api(app, 'memory', 'n').post('/config', body), { status: 400, body: { detail: /names nothing to change/ } }, JSON.stringify(body))
    }
    const all = new Api(app, '*')
    for (const answer of [
      await all.read('a'), await all.set('a', 1), await all.get('/keys'), await all.get('/stats'), await all.get('/config'), await all.get('/exists/a'), await all.get('/export'),
      await all.get('/analytics'), await all.delete('/delete/a'), await all.post('/get-batch', ['a']), await all.post('/delete-batch', ['a']), await all.post('/warm', { a: 1 }),
      await all.post('/touch', { key: 'a', ttl: 1 }), await all.post('/increment', { key: 'a' }), await all.post('/config', { default_ttl: 1 }), await all.post('/import', '')
    ]) {
      t.match(answer, { status: 400, body: { detail: /query\/backend must be one of memory, redis, memcached, database, file\./ } })
    }
    t.equal((await all.post('/clear', undefined, { pattern: 'nothing' })).status, 200)
    t.equal((await all.post('/invalidate', { pattern: 'nothing' })).status, 200)
  })

  await t.test('a namespace has a quota, which others cannot take and it cannot exceed', async (t) => {
    const [tenant, other] = [new Api(app, 'memory', 'tenant-a'), new Api(app, 'memory', 'tenant-b')]
    await memory.post('/clear')
    await memory.post('/config', { max_items: 20, max_memory: 100_000 })
    t.match((await tenant.get('/config')).body, { namespace: 'tenant-a', quota: null, config: { max_items: 20 } })
    for (let i = 0; i < 12; i++) await tenant.set(`k${i}`, i)
    const set = await tenant.post('/config', { max_items: 5, max_memory: 10_000 })
    t.match(set, { status: 200, body: { namespace: 'tenant-a', quota: { max_items: 5, max_memory: 10_000 } } })
    t.strictSame((await tenant.get('/config')).body.quota, { max_items: 5, max_memory: 10_000 })
    t.equal((await tenant.get('/keys')).body.total_keys, 5, 'it has given what is too much when the answer comes')
    t.match((await tenant.get('/stats')).body, { quota: { max_items: 5 }, statistics: { total_items: 5, eviction_count: 7 } })
    for (let i = 0; i < 40; i++) await other.set(`k${i}`, i)
    t.equal((await other.get('/keys')).body.total_keys, 15, 'the others have what is left')
    t.equal((await tenant.get('/keys')).body.total_keys, 5)
    t.match(await tenant.set('large', 'x'.repeat(10_000)), { status: 413, body: { type: '/problems/entry-too-large' } })
    t.equal((await tenant.get('/keys')).body.total_keys, 5, 'and evicts nothing')
    t.strictSame((await tenant.post('/config', { max_items: 3 })).body.quota, { max_items: 3, max_memory: 10_000 }, 'the half that is left out stays')
    t.equal((await tenant.get('/keys')).body.total_keys, 3)

    for (const [cache, body, status, said] of [
      [tenant, { max_items: 21 }, 422, /come to 21 for max_items, more than the 20/], [other, { max_items: 18, max_memory: 1 }, 422, /come to 21 for max_items/],
      [other, { max_items: 1, max_memory: 90_001 }, 422, /for max_memory/], [memory, { max_items: 2 }, 422, /come to 3 for max_items, more than the 2/],
      [other, { max_items: 5 }, 400, /has both/], [tenant, { max_items: null }, 400, /has both/], [tenant, { cleanup_interval: 5 }, 422, /sweep/],
      [tenant, { max_items: 4, cleanup_interval: 5 }, 422, /sweep/], [new Api(app, 'database', 'tenant-a'), { max_items: 10_001, max_memory: 5000 }, 422, /come to 10001 for max_items/],
      [new Api(app, 'redis', 'tenant-a'), { strategy: 'lfu' }, 422, /max_items or max_memory/]
    ] as const) {
      t.match(await cache.post('/config', body), { status, body: { detail: said } }, JSON.stringify(body))
    }
    t.equal((await new Api(app, 'database', 'tenant-a').get('/config')).body.quota, null)
    t.strictSame((await tenant.get('/config')).body.quota, { max_items: 3, max_memory: 10_000 }, 'what is refused changes nothing')

    t.equal((await tenant.post('/config', { max_items: null, max_memory: null })).body.quota, null)
    for (let i = 0; i < 20; i++) await tenant.set(`k${i}`, i)
    t.equal((await tenant.get('/keys')).body.total_keys, 20, 'without a quota it takes from all')
    await memory.post('/config', { max_items: 10_000, max_memory: 104857600 })
  })

  await t.test('so has the namespace default, on every backend with limits of its own', async (t) => {
    for (const backend of ['memory', 'file', 'redis', 'database']) {
      const most = backend === 'redis' ? null : 10_000
      const [named, other] = [new Api(app, backend, 'default'), new Api(app, backend)]
      const changed = await named.post('/config', { max_items: 2, max_memory: 5000 }, { namespace: 'default' })
      t.match(changed, { status: 200, body: { namespace: 'default', quota: { max_items: 2, max_memory: 5000 }, config: { max_items: most } } })
      for (let i = 0; i < 4; i++) for (const cache of [named, other]) await cache.set(`quota${i}`, i)
      t.strictSame([(await named.get('/keys')).body.total_keys, (await other.get('/keys')).body.total_keys], [2, 4])
      t.match((await named.get('/stats')).body, { quota: { max_items: 2 }, statistics: { total_items: 2 } })
      t.equal((await named.post('/config', { max_items: null, max_memory: null }, { namespace: 'default' })).body.quota, null)
    }
  })
})

void t.test('a key may be longer when the setting says so', async (t) => {
  const app = await startApp(t, { REDIS_URL: '', CACHE_MAX_KEY_LENGTH: '400', CACHE_BACKEND: 'memory' })
  const cache = new Api(app, 'memory')
  t.equal((await cache.set('a'.repeat(400), 1)).status, 200)
  t.equal((await cache.read('a'.repeat(400))).body.found, true)
  t.equal((await cache.set('a'.repeat(401), 1)).status, 400)
})

void t.test('without Redis', async (t) => {
  const app = await startApp(t, { REDIS_URL: '' })
  const redis = new Api(app, 'redis', 'default')

  await t.test('redis is 503, with the setting to give', async (t) => {
    for (const answer of [
      await redis.read('a'), await redis.set('a', 1), await redis.get('/keys'), await redis.get('/stats'), await redis.get('/config'), await redis.get('/exists/a'),
      await redis.delete('/delete/a'), await redis.post('/clear'), await redis.post('/get-batch', ['a']), await redis.post('/delete-batch', ['a']),
      await redis.post('/set-batch', [{ key: 'a', value: 1 }]), await redis.post('/warm', { a: 1 }), await redis.post('/touch', { key: 'a', ttl: 1 }),
      await redis.post('/increment', { key: 'a' }), await redis.post('/invalidate', { pattern: '*' }), await redis.post('/config', { default_ttl: 1 })
    ]) {
      t.match(answer, { status: 503, body: { type: '/problems/backend-unavailable', detail: /REDIS_URL/ }, headers: { 'retry-after': '1' } })
    }
  })

  await t.test('clear and invalidate mean what there is', async (t) => {
    const cache = new Api(app, 'memory', 'default')
    await cache.set('a', 1)
    const response = await app.inject({ method: 'POST', url: `/api/cache/clear?namespace=${cache.namespace}` })
    t.equal(response.json<{ deleted_count: number }>().deleted_count, 1)
    t.strictSame(Object.keys((await cache.get('/config')).body.backends), ['memory', 'database', 'file'])
  })
})
