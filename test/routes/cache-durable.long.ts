import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { temporaryFolder } from '../support/durable-caches.js'
import { databaseUrl } from '../support/servers.js'
import { Api, startApp } from './cache/api.js'

const NS = 'default'

t.test('on a server', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), REDIS_URL: '' }
  await everything(t, async (more = {}) => await startApp(t, { ...env, ...more }))
})

t.test('embedded', async (t) => {
  const env = { DATABASE_URL: '', DATA_DIR: temporaryFolder(t), REDIS_URL: '' }
  await everything(t, async (more = {}) => await startApp(t, { ...env, ...more }))
})

async function everything (t: Test, start: (env?: Record<string, string>) => Promise<FastifyInstance>): Promise<void> {
  let app = await start({ CACHE_MAX_ITEMS: '3' })
  for (const strategy of ['write_through', 'write_behind']) {
    const cache = new Api(app, 'memory', strategy)
    const stored = await cache.set('a', { n: 1 }, { strategy, ttl: 600, metadata: { tags: ['t'], by: 'me' } })
    t.match(stored, { status: 200, body: { success: true, strategy, backend: 'memory', ttl: 600 } })
    for (const key of ['b', 'c', 'd', 'e']) await cache.set(key, key, { strategy, metadata: { tags: ['u'] } })
    t.match(await cache.read('a'), { status: 200, body: { found: true, cache_item: { value: { n: 1 }, strategy, version: stored.body.version, metadata: { tags: ['t'], by: 'me' } } } })
    t.equal((await cache.read('a', { 'if-none-match': `"${stored.body.version}"` })).status, 304)
    t.match((await cache.get('/keys', { limit: 2 })).body, { total_keys: 5, keys: [{ key: 'a', strategy }, { key: 'b' }] })
    t.match((await cache.get('/stats')).body.statistics, { total_items: 5 })
    t.match((await cache.post('/get-batch', ['e', 'x', 'a'])).body, { found_count: 2, results: [{ result: { found: true } }, { result: { found: false } }, { result: { found: true } }] })
    t.match((await cache.get('/exists/b')).body, { exists: true })
    t.match((await cache.post('/increment', { key: 'n', by: 2 })).body, { value: 2 })
    t.match((await cache.post('/touch', { key: 'b', ttl: 5000 })).body, { found: true })
    t.equal((await cache.set('a', 2, { strategy }, { 'if-none-match': '*' })).status, 412)
    t.match((await cache.post('/set-batch', [{ key: 's', value: 1, strategy }, { key: 's2', value: 2, strategy }])).body, { successful_count: 2 })
    t.match((await cache.delete('/delete/s')).body, { found: true })
    t.match((await cache.post('/delete-batch', ['s2', 'none'])).body, { found_count: 1 })
    for (const key of ['f', 'g']) await cache.set(key, key, { strategy, grace: 60, metadata: { tags: ['u', 'soft'] } })
    t.match((await cache.post('/invalidate', { tags: ['soft'], mode: 'soft' })).body, { deleted_count: 0, stale_count: 2 })
    t.match((await cache.post('/get-batch', ['f', 'g'])).body, { found_count: 0 })
    t.ok((await cache.get('/get/f', { lease: 5 })).body.lease)
    t.match((await cache.get('/get/f', { lease: 5 })).body, { found: true, stale: true, cache_item: { value: 'f', strategy } })
    t.match((await cache.post('/invalidate', { tags: ['u'] }, { dry_run: 'true' })).body, { deleted_count: 0, preview: { would_delete: 4, is_complete: true } })
    t.match((await cache.post('/invalidate', { tags: ['u'] })).body, { deleted_count: 4 })
    t.equal((await cache.set('big', 'x'.repeat(1000), { strategy }, { 'if-match': '"1v1"' })).status, 412)
  }
  await app.close()

  app = await start({ CACHE_STRATEGY: 'write_behind' })
  for (const strategy of ['write_through', 'write_behind']) {
    const cache = new Api(app, 'memory', strategy)
    t.match((await cache.read('a')).body, { found: true, cache_item: { value: { n: 1 }, strategy } })
    t.match((await cache.post('/get-batch', ['b', 'c', 's', 's2', 'n'])).body, { found_count: 0 }, 'what was invalidated or deleted, and what was no durable entry, is gone')
    t.match((await cache.post('/clear')).body, { deleted_count: 1 })
  }
  const cache = new Api(app, 'memory', NS)
  t.match((await cache.set('mine', 1)).body, { strategy: 'write_behind' }, 'the strategy of the backend may be a durable one')
  t.match((await cache.post('/config', { strategy: 'write_through' })).body.config, { strategy: 'write_through' })
  t.match((await cache.set('yours', 1)).body, { strategy: 'write_through' })
  const metrics = (await app.inject('/metrics')).body
  t.match(metrics, /larder_cache_write_behind_queue_entries\{backend="memory"\} \d/)
  t.match(metrics, /larder_cache_write_behind_flushed_total\{backend="memory"\} \d/)
  await app.close()

  app = await start()
  for (const key of ['mine', 'yours']) t.match((await new Api(app, 'memory', NS).read(key)).body, { found: true })
  t.match((await new Api(app, 'memory', 'write_through').read('a')).body, { found: false })
  await app.close()
}

t.test('other backends refuse the strategies in words', async (t) => {
  const app = await startApp(t, { DATA_DIR: temporaryFolder(t) })
  for (const backend of ['redis', 'database']) {
    for (const strategy of ['write_through', 'write_behind']) {
      const cache = new Api(app, backend)
      t.match(await cache.set('a', 1, { strategy }), { status: 422, body: { type: '/problems/unsupported-here', detail: /use the memory backend/ } })
      t.match(await new Api(app, backend, NS).post('/config', { strategy }), { status: 422, body: { detail: /use the memory backend/ } })
      t.match((await cache.read('a')).body, { found: false })
    }
  }
})
