import t from 'tap'
import { memcachedUrl } from '../support/servers.js'
import { startApp } from './cache/api.js'
import { oddNames } from './cache/odd-names.js'

const app = await startApp(t, { MEMCACHED_URL: await memcachedUrl(t) })

for (const backend of ['redis', 'database', 'file', 'memcached']) void t.test(backend, async (t) => { await oddNames(t, app, backend) })
