// `larder-client` through every operation: the types have to fit what is sent, and what comes back has to be what the types say.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createLarderClient, LarderProblem, messages, ok, type LiveSample, type SettingChange, type StreamedEvent } from 'larder-client'

const url = process.env['LARDER_URL']!
const larder = createLarderClient({ url, apiKey: process.env['LARDER_API_KEY']! })
const namespace = 'openapi-fetch'
const query = { namespace }
/** Of this run alone. */
const idempotencyKey = `"${randomUUID()}"`

/** The problem that a request is refused with. */
async function refused (status: number, request: Promise<{ data?: unknown, error?: unknown, response: Response }>): Promise<LarderProblem> {
  const thrown: unknown = await ok(request).catch((error: unknown) => error)
  assert.ok(thrown instanceof LarderProblem, `${status} is expected`)
  assert.equal(thrown.status, status)
  assert.equal(thrown.problem.status, status)
  return thrown
}

/** The next message; the stream ends with it. */
async function first<T> (stream: AsyncGenerator<T, void>): Promise<T> {
  const { value } = await stream.next()
  await stream.return()
  assert.ok(value !== undefined)
  return value
}

const chapters: Record<string, () => Promise<void>> = {
  async greetings () {
    assert.match(await ok(larder.GET('/', { parseAs: 'text' })), /Welcome to Larder!/)
    assert.equal((await ok(larder.GET('/user', { params: { query: { name: 'Ada' } } }))).message, 'Hello, Ada!')
    assert.equal((await ok(larder.GET('/user/{name}', { params: { path: { name: 'Ada/Grace' } } }))).message, 'Hello, Ada/Grace!')
  },

  async health () {
    assert.equal((await ok(larder.GET('/health'))).status, 'healthy')
    assert.equal((await ok(larder.GET('/health/live'))).status, 'alive')
    const { status, parts } = await ok(larder.GET('/health/ready'))
    assert.equal(status, 'ready')
    assert.equal(parts['postgres']?.status, 'up')
  },

  async items () {
    const { id } = await ok(larder.POST('/items', { body: { name: 'Lamp', colours: ['red'] }, params: { header: { 'Idempotency-Key': idempotencyKey } } }))
    const again = await larder.POST('/items', { body: { name: 'Lamp', colours: ['red'] }, params: { header: { 'Idempotency-Key': idempotencyKey } } })
    assert.equal(again.data?.id, id)
    assert.equal(again.response.headers.get('idempotency-replayed'), 'true')
    const path = { id }
    const item = await ok(larder.PUT('/items/{id}', { params: { path }, body: { price: 12.5 } }))
    assert.deepEqual(item, { id, name: 'Lamp', colours: ['red'], price: 12.5 })
    const read = await larder.GET('/items/{id}', { params: { path } })
    assert.deepEqual(read.data?.item, item)
    const unchanged = await larder.GET('/items/{id}', { params: { path, header: { 'if-none-match': read.response.headers.get('etag')! } } })
    assert.equal(unchanged.response.status, 304)
    assert.ok((await ok(larder.GET('/items', { params: { query: { limit: 1000 } } }))).items.some((one) => one.id === id))
    assert.equal((await ok(larder.DELETE('/items/{id}', { params: { path } }))).ok, true)
    assert.match((await refused(404, larder.GET('/items/{id}', { params: { path } }))).message, /item/i)
    const { problem: { errors } } = await refused(400, larder.GET('/items', { params: { query: { limit: 5000 } } }))
    assert.equal(typeof errors?.[0]?.path, 'string')
  },

  async products () {
    const { product } = await ok(larder.POST('/products', { body: { name: 'Flour', price: 1.25, category: 'Baking', unit: null } }))
    assert.equal(product.stock_quantity, 0)
    const path = { id: product.id }
    assert.equal((await ok(larder.PUT('/products/{id}', { params: { path }, body: { price: 1.5 } }))).product.price, 1.5)
    assert.equal((await ok(larder.GET('/products/{id}', { params: { path } }))).product.unit, null)
    const list = await ok(larder.GET('/products', { params: { query: { nocache: true } } }))
    assert.ok(list.products.some(({ id }) => id === product.id))
    assert.equal(list.source, 'database')
    assert.ok((await ok(larder.GET('/cache/stats'))).total_requests >= 0)
    assert.ok((await ok(larder.GET('/cache/performance'))).rounds > 0)
    assert.equal((await ok(larder.POST('/cache/clear'))).ok, true)
    assert.match((await ok(larder.DELETE('/products/{id}', { params: { path } }))).message, /deleted/)
  },

  async recipes () {
    const { product } = await ok(larder.POST('/products', { body: { name: 'Yeast', price: 0.5, category: 'Baking' } }))
    const items = [{ product_id: product.id, quantity: 0.5 }]
    const { recipe } = await ok(larder.POST('/recipes', { body: { title: 'Focaccia', instructions: null, items } }))
    assert.equal(recipe.items[0]?.product.name, 'Yeast')
    const path = { id: recipe.id }
    await refused(409, larder.DELETE('/products/{id}', { params: { path: { id: product.id } } }))
    assert.equal((await ok(larder.DELETE('/recipes/{id}/products/{product_id}', { params: { path: { ...path, product_id: product.id } } }))).recipe.items.length, 0)
    assert.equal((await ok(larder.POST('/recipes/{id}/products', { params: { path }, body: items[0]! }))).recipe.items.length, 1)
    assert.equal((await ok(larder.PUT('/recipes/{id}', { params: { path }, body: { instructions: 'Knead, rest, bake.' } }))).recipe.title, 'Focaccia')
    assert.equal((await ok(larder.GET('/recipes/{id}', { params: { path } }))).recipe.instructions, 'Knead, rest, bake.')
    assert.ok((await ok(larder.GET('/recipes', { params: { query: { limit: 1000 } } }))).recipes.some(({ id }) => id === recipe.id))
    await ok(larder.DELETE('/recipes/{id}', { params: { path } }))
  },

  async users () {
    const path = { id: 1 }
    assert.equal((await ok(larder.PUT('/api/users/{id}', { params: { path }, body: { name: 'Ada' } }))).message, 'User updated')
    assert.deepEqual((await ok(larder.GET('/api/users/{id}', { params: { path } }))).user, { id: 1, name: 'Ada' })
  },

  async posts () {
    assert.equal((await ok(larder.POST('/api/posts/', { body: { title: `By ${namespace}` } }))).message, 'Post created')
    assert.ok((await ok(larder.GET('/api/posts/'))).posts.includes(`By ${namespace}`))
    assert.match((await ok(larder.DELETE('/api/invalidate/{key}', { params: { path: { key: 'GET:/api/posts/' } } }))).message, /deleted/)
  },

  async observability () {
    const { hits, top_keys: topKeys } = await ok(larder.GET('/metrics/cache'))
    assert.ok(hits >= 0)
    for (const [key, count] of topKeys) assert.ok(String(key).startsWith('GET:') && Number(count) > 0)
    assert.match(await ok(larder.GET('/metrics', { parseAs: 'text' })), /^larder_/m)
    const sample = await first(messages<LiveSample>(await ok(larder.GET('/metrics/live', { parseAs: 'stream' }))))
    assert.ok(sample.data.seconds > 0)
  },

  async cache () {
    await ok(larder.POST('/api/cache/clear', { params: { query } }))
    const key = 'one/two three:ü%'
    const stored = await ok(larder.POST('/api/cache/set', { params: { query }, body: { key, value: { deep: [1, null, 'x'] }, ttl: 60, metadata: { tags: ['a'], by: 'me' } } }))
    assert.equal(stored.backend, 'memory')
    const path = { key }
    const hit = await ok(larder.GET('/api/cache/get/{key}', { params: { path, query } }))
    assert.ok(hit.found)
    assert.deepEqual(hit.cache_item.value, { deep: [1, null, 'x'] })
    assert.deepEqual([hit.cache_item.data_type, hit.cache_item.metadata.tags, hit.cache_item.metadata['by']], ['json', ['a'], 'me'])
    const miss = await ok(larder.GET('/api/cache/get/{key}', { params: { path: { key: 'none' }, query: { ...query, lease: 1 } } }))
    assert.ok(!miss.found)
    assert.equal(typeof miss.lease?.token, 'string')
    assert.equal((await ok(larder.GET('/api/cache/exists/{key}', { params: { path, query } }))).exists, true)
    assert.equal((await ok(larder.POST('/api/cache/touch', { body: { key, ttl: 30, namespace } }))).ttl, 30)
    assert.equal((await ok(larder.POST('/api/cache/increment', { body: { key: 'count', by: 2.5, namespace } }))).value, 2.5)
    await refused(412, larder.POST('/api/cache/set', { params: { query, header: { 'if-none-match': '*' } }, body: { key, value: 1 } }))
    await refused(412, larder.DELETE('/api/cache/delete/{key}', { params: { path, query, header: { 'if-match': '"0"' } } }))

    const set = await ok(larder.POST('/api/cache/set-batch', { params: { query }, body: [{ key: 'b1', value: 1 }, { key: 'b2', value: 'AAH/', data_type: 'binary' }] }))
    assert.deepEqual(set.results.map((one) => one.success ? one.result.key : one.error.detail), ['b1', 'b2'])
    const got = await ok(larder.POST('/api/cache/get-batch', { params: { query }, body: ['b2', 'none'] }))
    assert.deepEqual(got.results.map((one) => one.success ? one.result.cache_item?.value : one.error.status), ['AAH/', undefined])
    assert.equal((await ok(larder.POST('/api/cache/delete-batch', { params: { query }, body: ['b1', 'b2'] }))).results.length, 2)
    assert.equal((await ok(larder.POST('/api/cache/warm', { params: { query }, body: { 'w:1': 1, 'w:2': { x: true } } }))).successful_count, 2)
    assert.deepEqual((await ok(larder.GET('/api/cache/keys', { params: { query: { ...query, pattern: 'w:*' } } }))).keys.map((one) => one.key).sort(), ['w:1', 'w:2'])

    assert.ok((await ok(larder.GET('/api/cache/stats', { params: { query } }))).statistics.total_items >= 3)
    assert.equal((await ok(larder.GET('/api/cache/config'))).config.backend, 'memory')
    const { config } = await ok(larder.POST('/api/cache/config', { body: { backend: 'memory', default_ttl: 3600 } }))
    assert.equal(config.default_ttl, 3600)
    const { analytics } = await ok(larder.GET('/api/cache/analytics', { params: { query: { limit: 5 } } }))
    assert.equal(typeof analytics, 'object')

    const file = await ok(larder.GET('/api/cache/export', { params: { query: { ...query, format: 'json' } } }))
    assert.ok(typeof file === 'object')
    assert.ok(file.entries.some((entry) => entry.key === key))
    const lines = await ok(larder.GET('/api/cache/export', { params: { query: { ...query, format: 'ndjson' } }, parseAs: 'text' }))
    assert.match(await ok(larder.GET('/api/cache/export', { params: { query: { ...query, format: 'csv' } }, parseAs: 'text' })), /^"?key/)
    assert.equal((await ok(larder.POST('/api/cache/invalidate', { params: { query }, body: { tags: ['a'] } }))).deleted_count, 1)
    assert.ok((await ok(larder.POST('/api/cache/clear', { params: { query } }))).deleted_count >= 3)
    assert.equal((await ok(larder.POST('/api/cache/import', { params: { query }, body: file }))).total_items, file.entries.length)
    const imported = await ok(larder.POST('/api/cache/import', {
      params: { query: { ...query, format: 'ndjson' } }, body: lines, bodySerializer: (text) => text, headers: { 'content-type': 'application/x-ndjson' }
    }))
    assert.equal(imported.successful_count, file.entries.length)
    assert.equal((await ok(larder.DELETE('/api/cache/delete/{key}', { params: { path, query } }))).found, true)
  },

  async keys () {
    const { key, id, expires_at: expiry } = await ok(larder.POST('/keys', { body: { name: namespace, scopes: ['cache:read'], namespaces: [namespace] } }))
    assert.equal(expiry, null)
    const path = { id }
    assert.equal((await ok(larder.GET('/keys/{id}', { params: { path } }))).status, 'live')
    assert.ok((await ok(larder.GET('/keys', { params: { query: { limit: 1000 } } }))).keys.some((one) => one.id === id))
    const narrow = createLarderClient({ url, apiKey: key })
    assert.match((await refused(403, narrow.POST('/api/posts/', { body: { title: 'No' } }))).message, /./)
    const rotated = await ok(larder.POST('/keys/{id}/rotate', { params: { path }, body: { overlap: 60 } }))
    assert.equal((await ok(larder.DELETE('/keys/{id}', { params: { path: { id: rotated.id } } }))).ok, true)
    await refused(401, createLarderClient({ url, apiKey: rotated.key }).GET('/api/cache/keys'))
  },

  async 'valet keys' () {
    const { token, id } = await ok(larder.POST('/valet/token', { body: { scopes: ['products:read'], ttl: 60, policy: namespace } }))
    const valet = createLarderClient({ url, token })
    assert.ok((await ok(valet.GET('/products'))).products.length > 0)
    await refused(403, valet.GET('/recipes'))
    const path = { id }
    assert.equal((await ok(larder.GET('/valet/tokens/{id}', { params: { path } }))).state, 'live')
    assert.ok((await ok(larder.GET('/valet/tokens', { params: { query: { policy: namespace } } }))).tokens.some((one) => one.id === id))
    assert.equal((await larder.DELETE('/valet/tokens/{id}', { params: { path } })).response.status, 204)
    await refused(401, valet.GET('/products'))
    await ok(larder.DELETE('/valet/tokens', { params: { query: { policy: namespace } } }))
    const { keys: [signing] } = await ok(larder.GET('/valet/keys'))
    await ok(larder.POST('/valet/rotate'))
    assert.equal((await larder.DELETE('/valet/keys/{kid}', { params: { path: { kid: signing!.kid } } })).response.status, 204)
    assert.equal((await ok(larder.GET('/.well-known/jwks.json'))).keys[0]?.kty, 'OKP')
  },

  async audit () {
    assert.ok((await ok(larder.GET('/audit', { params: { query: { outcome: 'denied', limit: 10 } } }))).entries.every(({ outcome }) => outcome === 'denied'))
    const { decision, route } = await ok(larder.GET('/authz/explain', { params: { query: { method: 'DELETE', path: '/items/1', scopes: 'items:read' } } }))
    assert.deepEqual([decision, route.scope], ['forbid', 'items:delete'])
    assert.equal(typeof await ok(larder.GET('/authz/whoami')), 'object')
  },

  async events () {
    const stream = await ok(larder.GET('/events', { params: { query: { types: `${namespace}.*` } }, parseAs: 'stream' }))
    const published = await ok(larder.POST('/events', { body: { channel: namespace, event: { type: 'opened', n: 1 } } }))
    const { data, event } = await first(messages<StreamedEvent>(stream))
    assert.ok('id' in data)
    assert.deepEqual([data.id, event], [published.id, `${namespace}.opened`])
    assert.ok(Array.isArray((await ok(larder.GET('/events/dead-letters'))).dead_letters))
    await refused(404, larder.POST('/events/dead-letters/{id}/retry', { params: { path: { id: '999999' } } }))
    await refused(404, larder.DELETE('/events/dead-letters/{id}', { params: { path: { id: '999999' } } }))
  },

  async webhooks () {
    // Of a type that nobody publishes: nothing is sent.
    const { id } = await ok(larder.POST('/webhooks', { body: { url: 'https://hooks.example.com/larder', types: 'nothing.ever' } }))
    const path = { id }
    assert.equal((await ok(larder.PUT('/webhooks/{id}', { params: { path }, body: { state: 'paused' } }))).state, 'paused')
    assert.equal((await ok(larder.GET('/webhooks/{id}', { params: { path } }))).types, 'nothing.ever')
    assert.ok((await ok(larder.GET('/webhooks'))).webhooks.some((one) => one.id === id))
    assert.equal((await ok(larder.POST('/webhooks/{id}/rotate', { params: { path } }))).id, id)
    assert.deepEqual((await ok(larder.GET('/webhooks/{id}/deliveries', { params: { path } }))).deliveries, [])
    await refused(404, larder.POST('/webhooks/{id}/deliveries/{delivery}/resend', { params: { path: { id, delivery: '999999' } } }))
    await ok(larder.DELETE('/webhooks/{id}', { params: { path } }))
  },

  async configuration () {
    const key = 'samples.posts.list_ttl'
    const path = { key }
    assert.ok((await ok(larder.GET('/config'))).settings.some((one) => one.key === key))
    const read = await larder.GET('/config/{key}', { params: { path } })
    const header = { 'if-match': read.response.headers.get('etag')! }
    const stream = await ok(larder.GET('/config/watch', { parseAs: 'stream' }))
    await refused(428, larder.PUT('/config/{key}', { params: { path }, body: 60 }))
    const changed = await larder.PUT('/config/{key}', { params: { path, header }, body: { value: 61 } })
    assert.equal(changed.data?.value, 61)
    const { data: change } = await first(messages<SettingChange>(stream))
    assert.deepEqual([change.key, change.value, change.action], [key, 61, 'set'])
    assert.ok((await ok(larder.GET('/config/{key}/history', { params: { path } }))).changes.length > 0)
    const second = await larder.PUT('/config/{key}', { params: { path, header: { 'if-match': changed.response.headers.get('etag')! } }, body: 62 })
    const back = await larder.POST('/config/{key}/rollback', { params: { path, header: { 'if-match': second.response.headers.get('etag')! } } })
    assert.equal(back.data?.value, 61)
    const reset = await ok(larder.DELETE('/config/{key}', { params: { path, header: { 'if-match': back.response.headers.get('etag')! } } }))
    assert.equal(reset.source, 'default')
    const tried = await ok(larder.POST('/config-batch', { params: { query: { dry_run: true } }, body: { changes: [{ key, value: 63, revision: reset.revision }] } }))
    assert.equal(tried.settings[0]?.value, 63)
    assert.ok((await ok(larder.GET('/config/instances'))).instances.some(({ self }) => self))
  },

  async documentation () {
    assert.equal((await ok(larder.GET('/openapi.json')))['openapi'], '3.1.0')
    assert.match(await ok(larder.GET('/openapi.yaml', { parseAs: 'text' })), /^openapi: /)
    assert.equal((await ok(larder.GET('/problems/{slug}', { params: { path: { slug: 'not-found' } } }))).status, 404)
  }
}

for (const [name, run] of Object.entries(chapters)) {
  await run().catch((error: unknown) => { throw new Error(`In the chapter of ${name}`, { cause: error }) })
}
