import t from 'tap'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AuditEntry } from '../../schemas/audit.js'
import { eventually } from '../support/caches.js'
import { ADMINISTRATOR, startTenants, type Name } from './cache/tenants.js'

void t.test('the audit log over HTTP', async (t) => {
  const tenants = await startTenants(t, { REDIS_URL: '' })
  const entries = async (query: Record<string, string> = {}, name: Name = 'administrator'): Promise<AuditEntry[]> =>
    (await tenants.as(name, { method: 'GET', url: '/audit', query })).json<{ entries: AuditEntry[] }>().entries
  const hashOf = (key: string) => createHash('sha256').update(key).digest('hex')

  await t.test('every administrative act is in it, with what became of it', async (t) => {
    const acts: [action: string, method: 'GET' | 'POST' | 'DELETE', url: string, payload: object | undefined, outcome: string][] = [
      ['cache.clear', 'POST', '/api/cache/clear?namespace=shop', undefined, 'success'],
      ['cache.clear', 'POST', '/cache/clear', undefined, 'success'],
      ['cache.invalidate', 'POST', '/api/cache/invalidate', { tags: ['x'] }, 'success'],
      ['cache.export', 'GET', '/api/cache/export', undefined, 'success'],
      ['cache.import', 'POST', '/api/cache/import', { nothing: true }, 'failure'],
      ['cache.config', 'POST', '/api/cache/config', { default_ttl: 60 }, 'success'],
      ['key.issue', 'POST', '/keys', { scopes: ['cache:read'] }, 'success'],
      ['key.revoke', 'DELETE', '/keys/none', undefined, 'failure'],
      ['valet.issue', 'POST', '/valet/token', { scopes: ['cache:read'] }, 'success']
    ]
    for (const [action, method, url, payload, outcome] of acts) {
      await tenants.as('administrator', { method, url, ...(payload && { payload }) })
      const [newest] = await entries()
      t.match(newest, { action, outcome, principal: 'administrator', kind: 'administrator', address: '127.0.0.1', count: 1 }, `${method} ${url}`)
    }
    const [issued] = await entries({ action: 'key.issue' })
    t.match(issued?.resource, /^keys\/\w+$/, 'what was made is named')
    t.equal((await entries({ credential_id: issued!.resource!.slice('keys/'.length) })).length, 1)
    t.match(await entries({ action: 'cache.clear' }), [{ namespace: null }, { namespace: 'shop' }])
    t.match(await entries({ action: 'key.revoke' }), [{ resource: 'keys/none', status: 404 }])
    await tenants.as('administrator', { method: 'POST', url: '/api/cache/clear?namespace=shop&dry_run=true' })
    t.match((await entries())[0], { action: 'cache.clear', outcome: 'success', reason: 'A dry run: nothing was done.' })
    await tenants.as('administrator', { method: 'PUT', url: '/config/samples.posts.list_ttl', payload: { value: 5 }, headers: { 'if-match': '*' } })
    t.match(await entries({ action: 'config.change' }), [{ resource: 'config/samples.posts.list_ttl', key_hash: null, status: 200 }], 'the name of a setting is no secret')
  })

  await t.test('reads and writes of entries are not', async (t) => {
    const before = await entries()
    await tenants.set('memory', 'default', 'a', 1)
    await tenants.as('administrator', { method: 'GET', url: '/api/cache/get/a' })
    t.equal((await entries()).length, before.length)
  })

  await t.test('whoever is turned away is, by the gatekeeper or by a handler, with a digest for the key', async (t) => {
    await tenants.app.inject('/api/cache/get/some-key')
    await tenants.as('a', { method: 'DELETE', url: '/api/cache/delete/their-key', query: { namespace: 'tenant-b' } })
    await tenants.as('a', { method: 'GET', url: '/audit' })
    const [scope, handler, anonymous] = await entries({ outcome: 'denied' })
    t.match(anonymous, { principal: '', kind: 'anonymous', action: 'access', scope: 'cache:read', status: 401, key_hash: hashOf('some-key'), namespace: 'default' })
    t.match(handler, { principal: 'key:a', scope: 'cache:delete', status: 403, key_hash: hashOf('their-key'), namespace: 'tenant-b', reason: /key/ })
    t.match(scope, { principal: 'key:a', scope: 'audit:read', status: 403 })
    await tenants.as('a', { method: 'POST', url: '/api/cache/clear', query: { namespace: 'tenant-b' } })
    t.match(await entries({ action: 'cache.clear', outcome: 'denied' }), [{ principal: 'key:a', namespace: 'tenant-b' }], 'under the name of the act')
  })

  await t.test('a flood of denials is a few entries', async (t) => {
    for (let index = 0; index < 200; index++) await tenants.app.inject({ url: `/items/${index}`, headers: { 'x-api-key': `made-up-${index}` } })
    t.equal((await entries({ outcome: 'denied' })).filter(({ scope }) => scope === 'items:read').length, 1)
  })

  await t.test('uses of a valet key are, and what a credential was is nowhere', async (t) => {
    const issue = async (payload: object) => (await tenants.as('administrator', { method: 'POST', url: '/valet/token', payload })).json<{ id: string, token: string }>()
    const { id, token } = await issue({ scopes: ['cache:read'] })
    const use = async (url: string) => (await tenants.app.inject({ url, headers: { authorization: `Bearer ${token}` } })).statusCode
    t.equal(await use('/api/cache/get/a'), 200)
    t.equal(await use('/items'), 403)
    await eventually(async () => (await entries({ principal: `valet:${id}` })).length === 2, 'both')
    t.match((await entries({ principal: `valet:${id}` })).map(({ action, outcome, kind }) => [action, outcome, kind]).sort(), [['access', 'denied', 'valet_key'], ['access', 'success', 'valet_key']])
    const [header = ''] = token.split('.')
    const { kid } = JSON.parse(Buffer.from(header, 'base64url').toString()) as { kid: string }
    t.strictSame((await entries({ principal: `valet:${id}` })).map((entry) => entry.kid), [kid, kid], 'with what it was signed')
    t.equal((await entries({ credential_id: id })).length, 3, 'and its issue')
    const counted = await issue({ scopes: ['cache:read'], max_uses: 3 })
    for (let use = 0; use < 4; use++) await tenants.app.inject({ url: '/api/cache/get/a', headers: { authorization: `Bearer ${counted.token}` } })
    t.match((await entries({ principal: `valet:${counted.id}` })).map(({ outcome, count }) => [outcome, count]),
      [['denied', 1], ['success', 1], ['success', 1], ['success', 1]], 'each of them, where there are so many')
    // Somebody takes the id for the key.
    await tenants.as('administrator', { method: 'DELETE', url: `/keys/${token}` })
    await tenants.as('administrator', { method: 'DELETE', url: `/config/${token}`, headers: { 'if-match': '*' } })
    const everything = JSON.stringify(await entries({ limit: '1000' }))
    for (const secret of [token, ADMINISTRATOR, 'made-up-7']) t.notMatch(everything, secret)
  })

  await t.test('an export that is not taken to its end is no success', async (t) => {
    await tenants.app.listen({ host: '127.0.0.1', port: 0 })
    for (let index = 0; index < 40; index++) await tenants.set('memory', 'large', `key:${index}`, 'x'.repeat(900_000))
    const { port } = tenants.app.server.address() as AddressInfo
    const asked = request({ host: '127.0.0.1', port, path: '/api/cache/export?namespace=large', headers: { 'x-api-key': ADMINISTRATOR } })
    asked.end()
    const [answer] = await once(asked, 'response') as [IncomingMessage]
    t.equal(answer.statusCode, 200)
    asked.destroy()
    await eventually(async () => (await entries({ action: 'cache.export', outcome: 'failure' })).length === 1, 'it is a failure')
    t.match(await entries({ action: 'cache.export', outcome: 'failure' }), [{ status: 200, namespace: 'large', reason: /end/ }])
  })

  await t.test('pages lead through it', async (t) => {
    const first = await tenants.as('administrator', { method: 'GET', url: '/audit', query: { limit: '2', outcome: 'success' } })
    t.equal(first.json<{ entries: object[] }>().entries.length, 2)
    const [, url] = /^<(.+)>; rel="next"$/.exec(String(first.headers['link'])) ?? []
    const second = (await tenants.as('administrator', { method: 'GET', url: url! })).json<{ entries: AuditEntry[] }>()
    t.ok(second.entries.every(({ outcome }) => outcome === 'success'))
    t.notMatch(second.entries[0]?.id, first.json<{ entries: AuditEntry[] }>().entries[1]?.id)
    t.equal((await tenants.as('administrator', { method: 'GET', url: '/audit', query: { cursor: 'made-up' } })).statusCode, 400)
    t.equal((await tenants.as('administrator', { method: 'GET', url: '/audit', query: { since: 'yesterday' } })).statusCode, 400)
  })
})
