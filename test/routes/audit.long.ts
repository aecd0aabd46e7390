import { performance } from 'node:perf_hooks'
import t from 'tap'
import type { AuditEntry } from '../../schemas/audit.js'
import { eventually } from '../support/caches.js'
import { startPostgres } from '../support/servers.js'
import { startTenants } from './cache/tenants.js'

void t.test('the audit log while PostgreSQL hangs', async (t) => {
  const server = await startPostgres(t)
  const tenants = await startTenants(t, { REDIS_URL: '', DATABASE_URL: server.url })
  const clear = async (): Promise<number> => (await tenants.as('administrator', { method: 'POST', url: '/api/cache/clear?backend=memory' })).statusCode

  t.equal(await clear(), 200)
  server.pause()
  const begin = performance.now()
  for (let index = 0; index < 50; index++) {
    t.equal(await clear(), 200)
    t.equal((await tenants.app.inject('/items')).statusCode, 401)
  }
  t.ok(performance.now() - begin < 5000, 'no request waits for it')
  t.ok(tenants.app.audit.waiting > 40)
  server.resume()
  await eventually(async () => {
    const answer = await tenants.as('administrator', { method: 'GET', url: '/audit', query: { action: 'cache.clear', limit: '1000' } })
    return answer.statusCode === 200 && answer.json<{ entries: AuditEntry[] }>().entries.length === 51
  }, 'every act is in it once, and once only', 30_000)
  t.equal(tenants.app.audit.waiting, 0)
})
