import t from 'tap'
import { ATTEMPTS, cacheRoutesOf, crossOvers, startTenants, type Name } from './cache/tenants.js'

const backends = ['memory', 'redis']

void t.test('tenants', async (t) => {
  const tenants = await startTenants(t)
  const { app } = tenants
  const status = async (name: Name, method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, payload?: object): Promise<number> =>
    (await tenants.as(name, { method, url, ...(payload && { payload }) })).statusCode

  await t.test('every route of the cache API says what strangers see of it', async (t) => {
    t.strictSame(cacheRoutesOf(app), Object.keys(ATTEMPTS).sort())
  })

  for (const backend of backends) {
    await crossOvers(t, tenants, backend)

    await t.test(`a namespace that is hidden is answered as one's own that lacks the entry on ${backend}`, async (t) => {
      for (const path of ['get', 'exists']) {
        const [own, other] = await Promise.all(['tenant-a', 'tenant-b'].map(async (namespace) =>
          await tenants.as('a', { method: 'GET', url: `/api/cache/${path}/secret`, query: { backend, namespace } })))
        const { 'x-request-id': _, date: __, ...headers } = own!.headers
        t.match(other, { statusCode: 200, body: own!.body, headers })
        t.strictSame(Object.keys(other!.headers), Object.keys(own!.headers))
      }
    })

    await t.test(`who is limited to some keys works with those on ${backend}`, async (t) => {
      const query = { backend, namespace: 'shared' }
      const as = async (request: Parameters<typeof tenants.as>[1]) => await tenants.as('part', { ...request, query: { ...query, ...request.query as object } })
      t.equal((await as({ method: 'POST', url: '/api/cache/set', payload: { key: 'user:3', value: 3 } })).statusCode, 200)
      t.match((await as({ method: 'GET', url: '/api/cache/get/user:3' })).json(), { found: true })
      t.match((await as({ method: 'GET', url: '/api/cache/get/user%3A3' })).json(), { found: true })
      t.match((await as({ method: 'POST', url: '/api/cache/get-batch', payload: ['user:3', 'other'] })).json(), { found_count: 1, not_found_count: 1 })
      t.match((await as({ method: 'GET', url: '/api/cache/keys' })).json(), { total_keys: 3, keys: [{}, {}, {}] })
      t.match((await as({ method: 'GET', url: '/api/cache/export' })).json(), { total_items: 3 })
      t.match((await as({ method: 'GET', url: '/api/cache/export', query: { namespace: '*' } })).json(), { total_items: 3 })
      t.match((await as({ method: 'POST', url: '/api/cache/set-batch', payload: [{ key: 'user:4', value: 4 }, { key: 'other', value: 4 }] })).json(),
        { successful_count: 1, results: [{ success: true }, { success: false, error: { status: 403 } }] })
      t.match((await as({ method: 'POST', url: '/api/cache/delete-batch', payload: ['user:4', 'other'] })).json(),
        { found_count: 1, results: [{ result: { found: true } }, { success: false, error: { status: 403 } }] })
      t.equal((await as({ method: 'POST', url: '/api/cache/clear', query: { pattern: 'user:[3]' } })).statusCode, 200)
      t.match((await as({ method: 'POST', url: '/api/cache/invalidate', payload: { pattern: 'user:2' } })).json(), { deleted_count: 1 })
      t.match((await as({ method: 'GET', url: '/api/cache/keys' })).json(), { total_keys: 1 })
    })

    await t.test(`pages lead through one's own keys alone on ${backend}`, async (t) => {
      for (let index = 0; index < 7; index++) await tenants.set(backend, 'shared', `user:page:${index}`, index)
      const seen: string[] = []
      let cursor: string | undefined
      do {
        const page: { keys: { key: string }[], next_cursor?: string, total_keys: number } = (await tenants.as('part', {
          method: 'GET', url: '/api/cache/keys', query: { backend, namespace: 'shared', limit: '2', ...(cursor !== undefined && { cursor }) }
        })).json()
        t.equal(page.total_keys, 8)
        seen.push(...page.keys.map(({ key }) => key))
        cursor = page.next_cursor
      } while (cursor !== undefined)
      t.strictSame(seen.sort(), ['user:1', ...Array.from({ length: 7 }, (_, index) => `user:page:${index}`)])
      // Somebody else's cursor leads nowhere else.
      const { next_cursor: others } = (await tenants.as('administrator', {
        method: 'GET', url: '/api/cache/keys', query: { backend, namespace: 'shared', limit: '1' }
      })).json<{ next_cursor: string }>()
      const answer = await tenants.as('part', { method: 'GET', url: '/api/cache/keys', query: { backend, namespace: 'shared', cursor: others } })
      t.notMatch(answer.body, /"other/)
    })

    await t.test(`of several namespaces each tells of itself, and all of them together on ${backend}`, async (t) => {
      const stats = async (name: Name, query: object) => (await tenants.as(name, {
        method: 'GET', url: '/api/cache/stats', query: { backend, ...query }
      })).json<{ statistics: { total_items: number } }>().statistics.total_items
      t.equal(await stats('a', {}), 1)
      t.equal(await stats('both', {}), 1)
      t.equal(await stats('b', {}), 21)
      t.equal(await stats('all', {}), await stats('administrator', {}))
      t.equal(await stats('part', {}), 0, 'who sees a part of a namespace is told of none')
    })
  }

  await t.test('what concerns every namespace takes a caller who is limited to none', async (t) => {
    const wide: [method: 'GET' | 'POST', url: string][] = [
      ['GET', '/cache/stats'], ['POST', '/cache/clear'], ['GET', '/cache/performance'], ['GET', '/metrics'], ['GET', '/api/cache/analytics']
    ]
    for (const [method, url] of wide) {
      for (const name of ['a', 'part', 'both'] as const) t.equal(await status(name, method, url), 403, `${name} ${url}`)
      t.equal(await status('administrator', method, url), 200, url)
    }
    t.equal(await status('all', 'GET', '/api/cache/analytics'), 200)
    t.equal(await status('all', 'POST', '/api/cache/config', { default_ttl: 3600 }), 200)
  })

  await t.test('settings of a namespace are those of its callers, and strangers’ look as if there were none', async (t) => {
    const ttl = '/config/cache.memory.default_ttl'
    const ask = async (name: Name, method: 'GET' | 'PUT' | 'DELETE' | 'POST', url: string, payload?: unknown) => await tenants.as(name, {
      method, url, headers: { ...method !== 'GET' && { 'if-match': '*' }, ...payload !== undefined && { 'content-type': 'application/json' } }, ...payload !== undefined && { payload: JSON.stringify(payload) }
    })
    const own = `${ttl}?namespace=tenant-a`
    t.match((await ask('a', 'PUT', own, 11)).json(), { namespace: 'tenant-a', value: 11, updated_by: 'key:a' })
    t.match((await ask('a', 'GET', own)).json(), { value: 11, source: 'namespace' })
    t.match((await ask('b', 'GET', `${own}&explain=true`)).json(), { value: 3600, revision: 0, layers: [{ source: 'default' }] })
    t.strictSame((await ask('b', 'GET', `${ttl}/history?namespace=tenant-a`)).json(), { key: 'cache.memory.default_ttl', changes: [] })
    const listed = async (name: Name, namespace: string) => (await ask(name, 'GET', `/config?namespace=${namespace}`)).json<{ overrides: object[] }>().overrides
    t.match(await listed('a', 'tenant-a'), [{ value: 11 }])
    t.strictSame(await listed('b', 'tenant-a'), [])
    const edit = (namespace?: string) => ({ changes: [{ key: 'cache.memory.default_ttl', ...namespace !== undefined && { namespace }, value: 12, revision: '*' }] })
    t.equal((await ask('a', 'POST', '/config-batch', edit('tenant-a'))).statusCode, 200)
    const refused: [Name, 'GET' | 'PUT' | 'DELETE' | 'POST', string, unknown?][] = [
      ['b', 'PUT', own, 13], ['b', 'DELETE', own], ['b', 'POST', `${ttl}/rollback?namespace=tenant-a`, {}], ['b', 'POST', '/config-batch', edit('tenant-a')], ['b', 'POST', '/config-batch', edit()],
      ['a', 'PUT', ttl, 13], ['a', 'DELETE', ttl], ['a', 'GET', ttl], ['a', 'GET', '/config'], ['a', 'GET', `${ttl}/history`], ['a', 'GET', `${ttl}/history?namespace=*`], ['a', 'GET', '/config/watch'],
      ['a', 'GET', '/config/instances'], ['a', 'PUT', `${ttl}?namespace=tenant-a&namespace=tenant-b`, 13],
      ['both', 'GET', own], ['both', 'PUT', own, 13], ['part', 'GET', own], ['all', 'GET', '/config'], ['all', 'POST', '/config-batch', edit('tenant-a')]
    ]
    for (const [name, method, url, payload] of refused) t.equal((await ask(name, method, url, payload)).statusCode, 403, `${name}: ${method} ${url}`)
    t.equal((await ask('a', 'DELETE', own)).statusCode, 200)
  })

  await t.test('resources limit every other route as well: a thing by its id, lists and creation by all of it', async (t) => {
    const cases: [name: Name, method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, status: number][] = [
      ['part', 'GET', '/products/1', 200], ['part', 'GET', '/products/2', 403], ['part', 'GET', '/products/01', 403], ['part', 'GET', '/products/%31', 200],
      ['part', 'GET', '/products', 403], ['part', 'GET', '/products/', 403], ['part', 'PUT', '/products/2', 403], ['part', 'DELETE', '/products/12', 403],
      ['part', 'POST', '/products', 403], ['part', 'GET', '/items', 200], ['part', 'POST', '/items', 201],
      ['part', 'GET', '/items/6c84fb90-12c4-11e1-840d-7b25c5ee775a', 404], ['part', 'GET', '/items/..%2Fproducts', 403],
      ['part', 'GET', '/api/users/1', 403], ['part', 'GET', '/api/posts/', 403],
      ['a', 'GET', '/products/2', 200], ['a', 'GET', '/products', 200], ['all', 'GET', '/api/users/1', 200], ['all', 'GET', '/api/posts', 200]
    ]
    for (const [name, method, url, expected] of cases) {
      t.equal(await status(name, method, url, method === 'GET' || method === 'DELETE' ? undefined : { name: 'x' }), expected, `${name}: ${method} ${url}`)
    }
  })
})
