import t from 'tap'
import { memcachedUrl } from '../support/servers.js'
import { crossOvers, startTenants } from './cache/tenants.js'

void t.test('tenants on the other backends', async (t) => {
  const tenants = await startTenants(t, { MEMCACHED_URL: await memcachedUrl(t) })
  for (const backend of ['database', 'file', 'memcached']) {
    await crossOvers(t, tenants, backend)
  }
})
