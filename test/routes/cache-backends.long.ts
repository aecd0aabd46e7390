import t from 'tap'
import { memcachedUrl } from '../support/servers.js'
import { startApp } from './cache/api.js'
import { everything } from './cache/everything.js'

const MEMCACHED_URL = await memcachedUrl(t)
const app = await startApp(t, { MEMCACHED_URL })
const embedded = await startApp(t, { DATABASE_URL: '', REDIS_URL: '', MEMCACHED_URL })

for (const backend of ['memcached', 'file']) t.test(backend, async (t) => { await everything(t, app, backend) })

t.test('without a database server and Redis', async (t) => {
  for (const backend of ['database', 'memcached']) t.test(backend, async (t) => { await everything(t, embedded, backend) })
})
