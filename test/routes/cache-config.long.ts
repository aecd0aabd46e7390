import t from 'tap'
import { setImmediate } from 'node:timers/promises'
import { eventually } from '../support/caches.js'
import { databaseUrl, startPostgres, startRedis } from '../support/servers.js'
import { Api, startApp } from './cache/api.js'

void t.test('in several processes', async (t) => {
  const DATABASE_URL = await databaseUrl(t)
  const app = await startApp(t, { DATABASE_URL })
  const memory = new Api(app, 'memory', 'default')

  await t.test('a quota is the same, and outlives each of them', async (t) => {
    const tenant = new Api(app, 'memory', 'tenant-a')
    await memory.post('/config', { max_items: 20, max_memory: 100_000 })
    await tenant.post('/config', { max_items: 3, max_memory: 10_000 })
    const another = await startApp(t, { DATABASE_URL, REDIS_URL: '' })
    const elsewhere = new Api(another, 'memory', 'tenant-a')
    t.strictSame((await elsewhere.get('/config')).body.quota, { max_items: 3, max_memory: 10_000 }, 'it outlives the process')
    await Promise.all([tenant.post('/config', { max_items: 4 }), new Api(another, 'memory', 'tenant-c').post('/config', { max_items: 2, max_memory: 1000 })])
    await eventually(async () => (await elsewhere.get('/config')).body.quota?.max_items === 4, 'it takes effect in every process')
    await eventually(async () => (await new Api(app, 'memory', 'tenant-c').get('/config')).body.quota?.max_items === 2, 'and no change is lost to another')
    for (const cache of [tenant, new Api(app, 'memory', 'tenant-c')]) {
      t.equal((await cache.post('/config', { max_items: null, max_memory: null })).body.quota, null)
    }
  })

  await t.test('a change outlives the process', async (t) => {
    await memory.post('/config', { default_ttl: 77 })
    const another = await startApp(t, { DATABASE_URL, REDIS_URL: '' })
    t.equal((await new Api(another, 'memory', 'default').get('/config')).body.config.default_ttl, 77)
    t.equal((await new Api(another, 'memory').set('a', 1)).body.ttl, 77)
  })
})

void t.test('Redis that hangs or is gone', async (t) => {
  const server = await startRedis(t)
  const app = await startApp(t, { REDIS_URL: server.url, CACHE_BACKEND: 'redis', CACHE_DEADLINE: '200' })
  const redis = new Api(app, 'redis')
  await redis.set('a', 1)

  await t.test('hanging, it is 503 within the deadline', async (t) => {
    server.pause()
    const begin = performance.now()
    t.equal((await redis.set('b', 1)).status, 503)
    t.equal((await redis.post('/increment', { key: 'n' })).status, 503)
    t.ok(performance.now() - begin < 6000)
    server.resume()
  })

  await t.test('gone, it is 503 at once, and memory goes on', async (t) => {
    await server.kill()
    // Until the loss is noticed, the memory tier may answer.
    while ((await redis.read('a')).status === 200) await setImmediate()
    const begin = performance.now()
    for (const answer of await Promise.all([redis.read('a'), redis.set('a', 1), redis.post('/get-batch', ['a']), redis.post('/set-batch', [{ key: 'a', value: 1 }]), redis.get('/keys')])) {
      t.match(answer, { status: 503, body: { type: '/problems/backend-unavailable' }, headers: { 'retry-after': '1' } })
    }
    t.ok(performance.now() - begin < 6000)
    const memory = new Api(app, 'memory')
    t.equal((await memory.set('a', 1)).status, 200)
    const mixed = await app.inject({
      method: 'POST', url: '/api/cache/set-batch', payload: [{ key: 'a', value: 1, backend: 'redis' }, { key: 'b', value: 1, backend: 'memory' }]
    })
    t.match(mixed.json(), { successful_count: 1, results: [{ success: false, error: { status: 503 } }, { success: true }] })
  })
})

void t.test('while PostgreSQL hangs, the database backend is 503 within its deadline', async (t) => {
  const server = await startPostgres(t)
  const app = await startApp(t, { DATABASE_URL: server.url, REDIS_URL: '', CACHE_BACKEND: 'database' })
  const database = new Api(app, 'database')
  await database.set('a', 1)
  server.pause()
  const began = Date.now()
  const answers = await Promise.all([
    database.read('b'), database.set('a', 1), database.post('/get-batch', ['b']), database.post('/set-batch', [{ key: 'a', value: 1 }]), database.get('/keys'),
    database.get('/stats'), database.post('/increment', { key: 'n' }), database.post('/clear'), ...Array.from({ length: 50 }, async (_, i) => await database.read(`k${i}`))
  ])
  t.ok(Date.now() - began < 8000, `it took ${Date.now() - began} ms`)
  t.strictSame(new Set(answers.map(({ status }) => status)), new Set([503]))
  t.equal((await new Api(app, 'memory').set('a', 1)).status, 200)
  server.resume()
  await eventually(async () => (await database.set('a', 2)).status === 200, 'it is back')
  t.match((await database.read('a')).body, { cache_item: { value: 2, backend: 'database' } })
})
