// The client of @hey-api/openapi-ts through every operation. Faults are thrown as the problems that were answered.
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { client } from './hey-api/client.gen.js'
import { createClient } from './hey-api/client/index.js'
import * as larder from './hey-api/index.js'

const baseUrl = process.env['LARDER_URL']!
const apiKey = process.env['LARDER_API_KEY']!
const namespace = 'hey-api'
const query = { namespace }
const must = { throwOnError: true } as const
const etagOf = ({ response }: { response: Response }) => response.headers.get('etag')!

client.setConfig({ baseUrl, auth: ({ type }) => type === 'apiKey' ? apiKey : undefined })

/** The problem that a request is refused with. */
async function refused (status: number, request: Promise<{ error?: larder.Problem | undefined, response?: Response | undefined }>): Promise<larder.Problem> {
  const { error, response } = await request
  assert.equal(response?.status, status)
  assert.equal(error?.status, status)
  return error
}

/** The first message of a stream; the client lets the connection go when it is told to, and by itself keeps it. */
async function first<T> (listen: (signal: AbortSignal) => Promise<{ stream: AsyncGenerator<T, unknown> }>): Promise<T> {
  const enough = new AbortController()
  const deadline = setTimeout(() => { enough.abort() }, 20_000)
  const { stream } = await listen(enough.signal)
  const { value, done } = await stream.next()
  clearTimeout(deadline)
  enough.abort()
  assert.ok(done !== true, 'A message comes in time')
  return value as T
}

async function documents (): Promise<void> {
  assert.match((await larder.getHome(must)).data, /Welcome to Larder!/)
  assert.equal((await larder.greet({ ...must, query: { name: 'Ada' } })).data.message, 'Hello, Ada!')
  assert.equal((await larder.greetByName({ ...must, path: { name: 'Ada/Grace' } })).data.message, 'Hello, Ada/Grace!')
  assert.equal((await larder.getHealth(must)).data.status, 'healthy')
  assert.equal((await larder.getLiveness(must)).data.status, 'alive')
  assert.equal((await larder.getReadiness(must)).data.parts['postgres']?.status, 'up')
  assert.equal((await larder.getOpenApiJson(must)).data['openapi'], '3.1.0')
  assert.match((await larder.getOpenApiYaml({ ...must, parseAs: 'text' })).data, /^openapi: /)
  assert.equal((await larder.getProblemType({ ...must, path: { slug: 'not-found' } })).data.status, 404)
  assert.match((await larder.getMetrics(must)).data, /^larder_/m)
  assert.ok((await first((signal) => larder.watchMetrics({ signal }))).seconds > 0)
  const { data: { top_keys: topKeys } } = await larder.getResponseCacheStatistics(must)
  for (const [key, count] of topKeys) assert.ok(key.startsWith('GET:') && count > 0)
}

async function samples (): Promise<void> {
  const { data: { id } } = await larder.createItem({ ...must, body: { name: 'Lamp' }, headers: { 'Idempotency-Key': `"${randomUUID()}"` } })
  const { data: item } = await larder.updateItem({ ...must, path: { id }, body: { price: 12.5 } })
  assert.deepEqual(item, { id, name: 'Lamp', price: 12.5 })
  const read = await larder.getItem({ ...must, path: { id } })
  assert.equal((await larder.getItem({ path: { id }, headers: { 'if-none-match': etagOf(read) } })).response?.status, 304)
  assert.ok((await larder.listItems({ ...must, query: { limit: 1000 } })).data.items.some((one) => one.id === id))
  assert.equal((await larder.deleteItem({ ...must, path: { id } })).data.ok, true)
  await refused(404, larder.getItem({ path: { id } }))

  const { data: { product } } = await larder.createProduct({ ...must, body: { name: 'Yeast', price: 0.5, category: 'Baking', unit: null } })
  const path = { id: product.id }
  assert.equal((await larder.updateProduct({ ...must, path, body: { price: 0.75 } })).data.product.price, 0.75)
  assert.equal((await larder.getProduct({ ...must, path })).data.product.unit, null)
  assert.equal((await larder.listProducts({ ...must, query: { nocache: true } })).data.source, 'database')
  assert.ok((await larder.getCacheAsideStatistics(must)).data.total_requests >= 0)
  assert.ok((await larder.measureCachePerformance(must)).data.rounds > 0)
  assert.equal((await larder.clearCacheAside(must)).data.ok, true)

  const items = [{ product_id: product.id, quantity: 2 }]
  const { data: { recipe } } = await larder.createRecipe({ ...must, body: { title: 'Focaccia', items } })
  const recipePath = { id: recipe.id }
  await refused(409, larder.deleteProduct({ path }))
  assert.equal((await larder.removeRecipeProduct({ ...must, path: { ...recipePath, product_id: product.id } })).data.recipe.items.length, 0)
  assert.equal((await larder.addRecipeProduct({ ...must, path: recipePath, body: items[0]! })).data.recipe.items[0]?.product.name, 'Yeast')
  assert.equal((await larder.updateRecipe({ ...must, path: recipePath, body: { instructions: null } })).data.recipe.instructions, null)
  assert.equal((await larder.getRecipe({ ...must, path: recipePath })).data.recipe.title, 'Focaccia')
  assert.ok((await larder.listRecipes({ ...must, query: { limit: 1000 } })).data.recipes.some((one) => one.id === recipe.id))
  await larder.deleteRecipe({ ...must, path: recipePath })
  await larder.deleteProduct({ ...must, path })

  assert.equal((await larder.updateUser({ ...must, path: { id: 1 }, body: { name: 'Grace' } })).data.message, 'User updated')
  assert.equal((await larder.getUser({ ...must, path: { id: 1 } })).data.user.name, 'Grace')
  assert.equal((await larder.createPost({ ...must, body: { title: `By ${namespace}` } })).data.message, 'Post created')
  assert.ok((await larder.listPosts(must)).data.posts.includes(`By ${namespace}`))
  assert.match((await larder.invalidateCachedResponse({ ...must, path: { key: 'GET:/api/posts/' } })).data.message, /deleted/)
}

async function cache (): Promise<void> {
  const key = 'one/two three:ü%'
  const path = { key }
  assert.equal((await larder.setCacheEntry({ ...must, query, body: { key, value: { deep: [1, null] }, metadata: { tags: ['a'] } } })).data.backend, 'memory')
  const { data: hit } = await larder.getCacheEntry({ ...must, path, query })
  assert.ok(hit.found)
  assert.deepEqual([hit.cache_item.value, hit.cache_item.metadata.tags], [{ deep: [1, null] }, ['a']])
  const { data: miss } = await larder.getCacheEntry({ ...must, path: { key: 'none' }, query: { ...query, lease: 1 } })
  assert.ok(!miss.found && typeof miss.lease?.token === 'string')
  assert.equal((await larder.cacheEntryExists({ ...must, path, query })).data.exists, true)
  assert.equal((await larder.touchCacheEntry({ ...must, query, body: { key, ttl: 30 } })).data.ttl, 30)
  assert.ok((await larder.incrementCacheEntry({ ...must, query, body: { key: 'count' } })).data.value >= 1)
  await refused(412, larder.setCacheEntry({ query, headers: { 'if-none-match': '*' }, body: { key, value: 1 } }))

  const { data: set } = await larder.setCacheEntries({ ...must, query, body: [{ key: 'b1', value: 1 }, { key: 'b2', value: 'x', data_type: 'string' }] })
  assert.deepEqual(set.results.map((one) => one.success ? one.result.key : one.error.detail), ['b1', 'b2'])
  const { data: got } = await larder.getCacheEntries({ ...must, query, body: ['b2', 'none'] })
  assert.deepEqual(got.results.map((one) => one.success ? one.result.cache_item?.value : one.error.status), ['x', undefined])
  assert.equal((await larder.deleteCacheEntries({ ...must, query, body: ['b1', 'b2'] })).data.results.length, 2)
  assert.equal((await larder.warmCache({ ...must, query, body: { 'w:1': 1, 'w:2': { x: true } } })).data.successful_count, 2)
  assert.equal((await larder.listCacheKeys({ ...must, query: { ...query, pattern: 'w:*' } })).data.keys.length, 2)
  assert.ok((await larder.getCacheStatistics({ ...must, query })).data.statistics.total_items >= 3)
  assert.equal((await larder.getCacheConfig(must)).data.config.backend, 'memory')
  assert.equal((await larder.changeCacheConfig({ ...must, body: { backend: 'memory', default_ttl: 3600 } })).data.config.default_ttl, 3600)
  assert.equal((await larder.getCacheAnalytics({ ...must, query: { limit: 5 } })).data.success, true)

  const { data: file } = await larder.exportCache({ ...must, query: { ...query, format: 'json' } })
  assert.ok(typeof file === 'object' && file.entries.some((entry) => entry.key === key))
  const { data: lines } = await larder.exportCache({ ...must, query: { ...query, format: 'ndjson' }, parseAs: 'text' })
  assert.ok(typeof lines === 'string')
  assert.match(String((await larder.exportCache({ ...must, query: { ...query, format: 'csv' } })).data), /^"?key/)
  assert.equal((await larder.invalidateCache({ ...must, query, body: { tags: ['a'] } })).data.deleted_count, 1)
  assert.ok((await larder.clearCache({ ...must, query })).data.deleted_count >= 3)
  assert.equal((await larder.importCache({ ...must, query, body: file })).data.total_items, file.entries.length)
  await larder.importCache({ ...must, query: { ...query, format: 'ndjson' }, body: lines, bodySerializer: (text: unknown) => text, headers: { 'content-type': 'application/x-ndjson' } })
  assert.equal((await larder.deleteCacheEntry({ ...must, path, query })).data.found, true)
}

async function callers (): Promise<void> {
  const { data: { key, id } } = await larder.createApiKey({ ...must, body: { name: namespace, scopes: ['cache:read'], namespaces: [namespace] } })
  assert.equal((await larder.getApiKey({ ...must, path: { id } })).data.status, 'live')
  assert.ok((await larder.listApiKeys({ ...must, query: { limit: 1000 } })).data.keys.some((one) => one.id === id))
  const narrow = createClient({ baseUrl, headers: { 'x-api-key': key } })
  await refused(403, larder.createPost({ client: narrow, body: { title: 'No' } }))
  const { data: rotated } = await larder.rotateApiKey({ ...must, path: { id }, body: { overlap: 60 } })
  assert.equal((await larder.revokeApiKey({ ...must, path: { id: rotated.id } })).data.ok, true)

  const { data: issued } = await larder.issueValetKey({ ...must, body: { scopes: ['products:read'], ttl: 60, policy: namespace } })
  const valet = createClient({ baseUrl, auth: ({ scheme }) => scheme === 'bearer' ? issued.token : undefined })
  assert.ok((await larder.listProducts({ ...must, client: valet })).data.products.length > 0)
  await refused(403, larder.listRecipes({ client: valet }))
  assert.equal((await larder.getValetKey({ ...must, path: { id: issued.id } })).data.state, 'live')
  assert.ok((await larder.listValetKeys({ ...must, query: { policy: namespace } })).data.tokens.length > 0)
  assert.equal((await larder.revokeValetKey({ ...must, path: { id: issued.id } })).response.status, 204)
  await larder.revokeValetKeys({ ...must, query: { policy: namespace } })
  const { data: { keys: signing } } = await larder.listSigningKeys(must)
  await larder.rotateSigningKey({ ...must, body: { retire: false } })
  const { kid } = signing.find(({ state }) => state === 'signing')!
  assert.equal((await larder.retireSigningKey({ ...must, path: { kid } })).response.status, 204)
  assert.equal((await larder.getJsonWebKeySet(must)).data.keys[0]?.kty, 'OKP')

  assert.ok((await larder.listAuditEntries({ ...must, query: { outcome: 'denied', limit: 10 } })).data.entries.every(({ outcome }) => outcome === 'denied'))
  assert.equal((await larder.explainAccess({ ...must, query: { method: 'DELETE', path: '/items/1', scopes: 'items:read' } })).data.decision, 'forbid')
  assert.equal(typeof (await larder.whoAmI(must)).data, 'object')
}

async function events (): Promise<void> {
  const heard = first((signal) => larder.streamEvents({ query: { types: `${namespace}.*` }, signal }))
  // The stream is opened by the first look at it, so that what is published at once may come too early for it.
  const published: string[] = []
  const publishing = setInterval(() => {
    larder.publishEvent({ ...must, body: { channel: namespace, event: { type: 'opened' } } }).then(({ data }) => published.push(data.id), () => {})
  }, 50)
  const event = await heard
  clearInterval(publishing)
  assert.ok('id' in event && event.type === `${namespace}.opened`)
  assert.ok(Array.isArray((await larder.listDeadLetters(must)).data.dead_letters))
  await refused(404, larder.retryDeadLetter({ path: { id: '999999' } }))
  await refused(404, larder.deleteDeadLetter({ path: { id: '999999' } }))

  // Of a type that nobody publishes: nothing is sent.
  const { data: { id } } = await larder.createWebhook({ ...must, body: { url: 'https://hooks.example.com/larder', types: 'nothing.ever' } })
  const path = { id }
  assert.equal((await larder.changeWebhook({ ...must, path, body: { state: 'paused' } })).data.state, 'paused')
  assert.equal((await larder.getWebhook({ ...must, path })).data.types, 'nothing.ever')
  assert.ok((await larder.listWebhooks(must)).data.webhooks.some((one) => one.id === id))
  assert.equal((await larder.rotateWebhookSecret({ ...must, path })).data.id, id)
  assert.deepEqual((await larder.listWebhookDeliveries({ ...must, path })).data.deliveries, [])
  await refused(404, larder.resendWebhookDelivery({ path: { id, delivery: '999999' } }))
  await larder.deleteWebhook({ ...must, path })
}

async function configuration (): Promise<void> {
  const key = 'samples.posts.list_ttl'
  const path = { key }
  const { data: { revision, settings } } = await larder.listSettings(must)
  assert.ok(settings.some((one) => one.key === key))
  const read = await larder.getSetting({ ...must, path })
  await refused(428, larder.changeSetting({ path, body: 60 }))
  const changed = await larder.changeSetting({ ...must, path, headers: { 'if-match': etagOf(read) }, body: { value: 61 } })
  const change = await first((signal) => larder.watchSettings({ query: { since: revision }, signal }))
  assert.deepEqual([change.key, change.value, change.action], [key, 61, 'set'])
  assert.ok((await larder.listSettingChanges({ ...must, path })).data.changes.length > 0)
  const second = await larder.changeSetting({ ...must, path, headers: { 'if-match': etagOf(changed) }, body: 62 })
  const back = await larder.rollBackSetting({ ...must, path, headers: { 'if-match': etagOf(second) } })
  assert.equal(back.data.value, 61)
  const { data: reset } = await larder.resetSetting({ ...must, path, headers: { 'if-match': etagOf(back) } })
  assert.equal(reset.source, 'default')
  const { data: tried } = await larder.changeSettings({ ...must, query: { dry_run: true }, body: { changes: [{ key, value: 63, revision: reset.revision }] } })
  assert.equal(tried.settings[0]?.value, 63)
  assert.ok((await larder.listSettingInstances(must)).data.instances.some(({ self }) => self))
}

for (const chapter of [documents, samples, cache, callers, events, configuration]) {
  await chapter().catch((error: unknown) => { throw new Error(`In ${chapter.name}`, { cause: error }) })
}
