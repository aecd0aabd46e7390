import t from 'tap'
import type { AccessExplanation, Identity } from '../../schemas/authz.js'
import { startTenants } from './cache/tenants.js'

void t.test('whoever asks who they are is told what they may do', async (t) => {
  const tenants = await startTenants(t, { REDIS_URL: '' })
  const { app } = tenants
  const as = async (key: string): Promise<Identity> => (await app.inject({ url: '/authz/whoami', headers: { 'x-api-key': key } })).json()
  t.match(await tenants.as('administrator', { method: 'GET', url: '/authz/whoami' }).then((reply) => reply.json<Identity>()), { kind: 'administrator', namespaces: null, resources: null, expires_at: null })

  const created = await tenants.as('administrator', {
    method: 'POST', url: '/keys', payload: { scopes: ['cache:*'], forbid: ['cache:delete'], namespaces: ['shop'], expires_at: '2999-01-01T00:00:00.000Z' }
  })
  const { key, id } = created.json<{ key: string, id: string }>()
  t.match(await as(key), {
    kind: 'api_key', id: `key:${id}`, scopes: ['cache:*'], permissions: ['cache:read', 'cache:write'], namespaces: ['shop'], resources: null, expires_at: '2999-01-01T00:00:00.000Z'
  })

  const issued = await tenants.as('administrator', { method: 'POST', url: '/valet/token', payload: { scopes: ['recipes:read'], resources: ['recipes/7'], max_uses: 1 } })
  const { token } = issued.json<{ token: string }>()
  for (let use = 0; use < 2; use += 1) {
    const reply = await app.inject({ url: '/authz/whoami', headers: { authorization: `Bearer ${token}` } })
    t.match(reply.json(), { kind: 'valet_key', permissions: ['recipes:read'], resources: ['recipes/7'], expires_at: /Z$/ }, 'asking is no use of it')
    t.equal(reply.headers['cache-control'], 'no-store')
  }
  t.match((await app.inject('/authz/whoami')).json(), { kind: 'anonymous', id: '', scopes: [], permissions: [] })
  t.equal((await app.inject({ url: '/authz/whoami', headers: { 'x-api-key': 'lk_unknown' } })).statusCode, 401, 'a wrong credential is no absent one')
})

void t.test('the explanation of a decision', async (t) => {
  const tenants = await startTenants(t, { REDIS_URL: '' })
  const ask = async (query: Record<string, string>) => await tenants.as('administrator', { method: 'GET', url: '/authz/explain', query })
  const explain = async (query: Record<string, string>): Promise<AccessExplanation> => (await ask(query)).json()

  await t.test('names the route, its scope, and the rule', async (t) => {
    t.match(await explain({ path: '/api/cache/get/a', scopes: 'cache:*' }), {
      decision: 'permit', rule: 'granted', granted_by: 'cache:*', detail: 'The scope cache:* permits cache:read.', route: { method: 'GET', path: '/api/cache/get/:key', scope: 'cache:read' }
    })
    const cases: [query: Record<string, string>, decision: string, rule: string][] = [
      [{ path: '/health' }, 'permit', 'public'],
      [{ path: '/items/7' }, 'forbid', 'not granted'],
      [{ path: '/items/7/', scopes: 'items:read' }, 'permit', 'granted'],
      [{ path: '/items/7', scopes: '*', forbid: 'items:*' }, 'forbid', 'forbidden'],
      [{ method: 'delete', path: '/items/7', scopes: 'items:read' }, 'forbid', 'not granted'],
      [{ path: '/items/7', scopes: '*', resources: 'items/7' }, 'permit', 'granted'],
      [{ path: '/items/%37', scopes: '*', resources: 'items/7' }, 'permit', 'granted'],
      [{ path: '/items', scopes: '*', resources: 'items/7' }, 'forbid', 'limited to resources'],
      [{ path: '/metrics', scopes: '*', namespaces: 'a' }, 'forbid', 'limited to namespaces'],
      [{ path: '/api/cache/get/x?namespace=b', scopes: '*', namespaces: 'a' }, 'forbid', 'limited to namespaces'],
      [{ path: '/api/cache/get/x?namespace=a', scopes: '*', namespaces: 'a' }, 'permit', 'granted'],
      [{ path: '/api/cache/get/user%3A1', scopes: '*', resources: 'cache/default/user:*' }, 'permit', 'granted'],
      [{ path: '/api/cache/get/other', scopes: '*', resources: 'cache/default/user:*' }, 'forbid', 'limited to resources'],
      [{ method: 'POST', path: '/api/cache/set', key: 'other', scopes: '*', resources: 'cache/default/user:*' }, 'forbid', 'limited to resources'],
      [{ path: '/docs/static/index.html' }, 'permit', 'public']
    ]
    for (const [query, decision, rule] of cases) t.match(await explain(query), { decision, rule }, JSON.stringify(query))
  })

  await t.test('tells of an API key as it is', async (t) => {
    const created = await tenants.as('administrator', { method: 'POST', url: '/keys', payload: { scopes: ['cache:*'], forbid: ['cache:delete'], namespaces: ['a'] } })
    const { id } = created.json<{ id: string }>()
    const of = async (path: string, method = 'GET') => (await explain({ path, method, key_id: id })).rule
    t.equal(await of('/api/cache/get/x?namespace=a'), 'granted')
    t.equal(await of('/api/cache/get/x'), 'limited to namespaces')
    t.equal(await of('/api/cache/delete/x?namespace=a', 'DELETE'), 'forbidden')
    await tenants.as('administrator', { method: 'DELETE', url: `/keys/${id}` })
    t.equal(await of('/api/cache/get/x?namespace=a'), 'credential revoked')
    t.equal(await of('/health'), 'credential revoked')
  })

  await t.test('tells of a valet key as it is, and of what it came from', async (t) => {
    const issue = async (payload: object, credential?: object): Promise<{ id: string, token: string }> => {
      const request = { method: 'POST' as const, url: '/valet/token', payload }
      const answer = credential === undefined ? await tenants.as('administrator', request) : await tenants.app.inject({ ...request, headers: { ...credential } })
      t.equal(answer.statusCode, 201)
      return answer.json()
    }
    const of = async (id: string, path: string, more: object = {}) => (await explain({ path, valet_id: id, ...more })).rule
    const one = await issue({ scopes: ['cache:read', 'valet:issue'], namespaces: ['a'], resources: ['cache/a/user:*', 'valet/*'], ip: '192.0.2.0/24' })
    t.equal(await of(one.id, '/api/cache/get/user:1?namespace=a'), 'granted')
    t.equal(await of(one.id, '/api/cache/get/other?namespace=a'), 'limited to resources')
    t.equal(await of(one.id, '/api/cache/get/user:1?namespace=b'), 'limited to namespaces')
    t.equal(await of(one.id, '/items'), 'not granted')
    t.equal(await of(one.id, '/api/cache/get/user:1?namespace=a', { address: '192.0.2.7' }), 'granted')
    t.equal(await of(one.id, '/api/cache/get/user:1?namespace=a', { address: '198.51.100.7' }), 'limited to addresses')

    const later = await issue({ scopes: ['items:read'], not_before: new Date(Date.now() + 60_000).toISOString(), ttl: 600 })
    t.equal(await of(later.id, '/items'), 'credential not yet valid')
    const once = await issue({ scopes: ['items:read'], max_uses: 1 })
    t.equal(await of(once.id, '/items'), 'granted', 'which is no use of it')
    t.equal((await tenants.app.inject({ url: '/items', headers: { authorization: `Bearer ${once.token}` } })).statusCode, 200)
    t.equal(await of(once.id, '/items'), 'credential exhausted')

    const key = (await tenants.as('administrator', { method: 'POST', url: '/keys', payload: { scopes: ['items:read', 'valet:issue'] } })).json<{ id: string, key: string }>()
    const parent = await issue({ scopes: ['items:read', 'valet:issue'] }, { 'x-api-key': key.key })
    const child = await issue({ scopes: ['items:read'] }, { authorization: `Bearer ${parent.token}` })
    t.equal(await of(child.id, '/items'), 'granted')
    await tenants.as('administrator', { method: 'DELETE', url: `/keys/${key.id}` })
    t.strictSame([await of(parent.id, '/items'), await of(child.id, '/items')], ['credential without issuer', 'credential without issuer'])
    await tenants.as('administrator', { method: 'DELETE', url: `/valet/tokens/${parent.id}` })
    t.strictSame([await of(parent.id, '/items'), await of(child.id, '/items')], ['credential revoked', 'credential revoked'])
    t.equal((await ask({ path: '/items', valet_id: 'none' })).statusCode, 404)
    t.equal((await ask({ path: '/items', valet_id: one.id, key_id: key.id })).statusCode, 400)
  })

  await t.test('refuses what makes no sense, and is for operators alone', async (t) => {
    t.equal((await ask({ path: '/no/such/path' })).statusCode, 404)
    t.equal((await ask({ path: '/items', method: 'PATCH' })).statusCode, 404)
    t.equal((await ask({ path: '/items', key_id: 'none' })).statusCode, 404)
    t.equal((await ask({ path: '/items', scopes: 'items:fly' })).statusCode, 400)
    t.equal((await ask({ path: '/items', key_id: 'none', scopes: '*' })).statusCode, 400)
    t.equal((await ask({ path: 'items' })).statusCode, 400)
    t.equal((await tenants.as('a', { method: 'GET', url: '/authz/explain', query: { path: '/items' } })).statusCode, 403)
  })

  await t.test('says of every route what then happens', async (t) => {
    const wrong: string[] = []
    for (const { method, path: pattern } of tenants.app.gatekeeper.table.all()) {
      const path = pattern.replaceAll(/:(\w+)/g, 'x').replaceAll('*', 'x')
      const { decision } = await explain({ method, path, scopes: 'cache:*,config:*,items:*,products:*,users:*,posts:*,metrics:read', namespaces: 'tenant-a' })
      const answer = await tenants.as('a', { method, url: path })
      // Entries that are hidden look absent.
      const isCache = pattern.startsWith('/api/cache/')
      if (!isCache && (answer.statusCode === 403) !== (decision === 'forbid')) wrong.push(`${method} ${pattern}: ${decision}, and ${answer.statusCode}`)
    }
    t.strictSame(wrong, [])
  })
})
