import t from 'tap'
import { eventually } from '../support/caches.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { openApp, sender } from '../routes/sample-app.js'

t.test('a process that leaves events to others tells how late they are, also when there never was a worker', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_DEADLINE: '1000' }
  const serving = await openApp(t, { ...env, WORKER: 'false', DATA_DIR: temporaryFolder(t) })
  const send = sender(serving)
  const lag = async () => Number(/^larder_event_lag_seconds (\S+)$/m.exec((await send('GET /metrics')).body)?.[1])
  t.equal((await send('POST /items', { name: 'Alice' })).statusCode, 201)
  await eventually(async () => await lag() > 1, 'nobody does it', 20_000)
  await openApp(t, { ...env, DATA_DIR: temporaryFolder(t) })
  await eventually(async () => await lag() === 0, 'somebody has done it', 30_000)
})
