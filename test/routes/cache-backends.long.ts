import t from 'tap'
import { eventually } from '../support/caches.js'
import { memcachedUrl, startMemcached } from '../support/servers.js'
import { Api, startApp } from './cache/api.js'
import { everything } from './cache/everything.js'

const MEMCACHED_URL = await memcachedUrl(t)
const app = await startApp(t, { MEMCACHED_URL })
const embedded = await startApp(t, { DATABASE_URL: '', REDIS_URL: '', MEMCACHED_URL })

for (const backend of ['database', 'memcached', 'file']) t.test(backend, async (t) => { await everything(t, app, backend) })

t.test('without a database server and Redis', async (t) => {
  for (const backend of ['database', 'memcached']) t.test(backend, async (t) => { await everything(t, embedded, backend) })
})

t.test('an invalidation does not wait for a server that is away: it holds, and nothing is counted', async (t) => {
  const memcached = await startMemcached(t)
  const api = new Api(await startApp(t, { MEMCACHED_URL: memcached.url, CACHE_DEADLINE: '200' }), 'memcached')
  await api.set('a', 1, { metadata: { tags: ['t'] } })
  memcached.pause()
  const begun = performance.now()
  t.match(await api.post('/invalidate', { tags: ['t'] }), { status: 200, body: { deleted_count: 0 } })
  t.ok(performance.now() - begun < 1800, 'it takes less than counting may take')
  memcached.resume()
  await eventually(async () => (await api.read('a')).status === 200, 'memcached is back')
  t.match((await api.read('a')).body, { found: false })
})
