import t from 'tap'
import { memcachedUrl } from '../support/servers.js'
import { crossOver, startTenants } from './cache/tenants.js'

void t.test('tenants on the other backends', async (t) => {
  const tenants = await startTenants(t, { MEMCACHED_URL: await memcachedUrl(t) })
  for (const backend of ['database', 'file', 'memcached']) {
    await t.test(`nothing of another namespace shows or changes on ${backend}`, async (t) => {
      await tenants.set(backend, 'tenant-a', 'own', 'own value')
      await crossOver(t, tenants, backend, 'a', 'tenant-b', 'secret')
    })
    await t.test(`nothing of the other keys of a namespace shows or changes on ${backend}`, async (t) => {
      await tenants.set(backend, 'shared', 'user:1', 'own value')
      await tenants.set(backend, 'shared', 'user:2', 'own value')
      await crossOver(t, tenants, backend, 'part', 'shared', 'other')
    })
  }
})
