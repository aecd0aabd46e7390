import t from 'tap'
import { memcachedUrl } from '../support/servers.js'
import { Api, startApp } from './cache/api.js'

void t.test('without MEMCACHED_URL every call names the setting to give', async (t) => {
  const app = await startApp(t, { REDIS_URL: '' })
  const entry = { key: 'a', value: 1 }
  const calls: [method: 'GET' | 'POST' | 'DELETE', path: string, payload?: object][] = [
    ['GET', '/get/a'], ['GET', '/exists/a'], ['GET', '/keys'], ['GET', '/stats'], ['GET', '/config'], ['DELETE', '/delete/a'], ['POST', '/clear'],
    ['POST', '/set', entry], ['POST', '/touch', { key: 'a', ttl: 1 }], ['POST', '/increment', { key: 'a' }], ['POST', '/get-batch', ['a']],
    ['POST', '/delete-batch', ['a']], ['POST', '/warm', { a: 1 }], ['POST', '/invalidate', { tags: ['a'] }], ['POST', '/config', {}]
  ]
  for (const [method, path, payload] of calls) {
    const response = await app.inject({ method, url: `/api/cache${path}?backend=memcached`, ...payload === undefined ? {} : { payload } })
    t.equal(response.statusCode, 503, path)
    t.match(response.json(), { type: '/problems/backend-unavailable', detail: /MEMCACHED_URL/ }, path)
  }
})

void t.test('what its server alone decides is refused', async (t) => {
  const app = await startApp(t, { REDIS_URL: '', MEMCACHED_URL: await memcachedUrl(t) })
  const cache = new Api(app, 'memcached')
  for (const strategy of ['lfu', 'fifo', 'ttl', 'sieve', 's3fifo', 'adaptive', 'write_through', 'write_behind']) {
    t.match(await cache.post('/set', { key: 'a', value: 1, strategy }), { status: 422, body: { type: '/problems/unsupported-here', detail: /lru|LRU|memory/ } }, strategy)
    t.equal((await app.inject({ method: 'POST', url: '/api/cache/config?backend=memcached', payload: { strategy } })).statusCode, 422, strategy)
  }
  t.equal((await cache.post('/set', { key: 'a', value: 1, strategy: 'lru' })).status, 200)
  for (const name of ['max_items', 'max_memory']) {
    const response = await app.inject({ method: 'POST', url: '/api/cache/config?backend=memcached', payload: { [name]: 5 } })
    t.equal(response.statusCode, 422)
    t.match(response.json(), { detail: /start memcached with -m/ })
  }
  const { statusCode, body } = await app.inject('/api/cache/config?backend=memcached')
  t.equal(statusCode, 200)
  t.match(JSON.parse(body), { backends: { memcached: { strategy: 'lru', max_items: null, max_memory: null } } })

  t.test('a value larger than an item is 413, and leaves what was there', async (t) => {
    t.equal((await cache.set('large', 'small')).status, 200)
    const payload = { key: 'large', value: 'x'.repeat(1_048_500), backend: 'memcached', namespace: cache.namespace }
    const response = await app.inject({ method: 'POST', url: '/api/cache/set', payload })
    t.equal(response.statusCode, 413)
    t.match(response.json(), { type: '/problems/entry-too-large', detail: /1048576 that memcached takes/ })
    t.equal((await cache.read('large')).body.cache_item.value, 'small')
  })

  t.test('of many who miss one gets the lease, also after an invalidation', async (t) => {
    t.equal((await cache.post('/clear')).status, 200)
    const holder = await cache.get('/get/leased', { lease: 20 })
    t.ok('lease' in holder.body)
    const others = await Promise.all(Array.from({ length: 10 }, async () => await cache.get('/get/leased', { lease: 0.2 })))
    t.notOk(others.some(({ body }) => 'lease' in body))
  })

  t.test('its part of the health', async (t) => {
    t.match((await app.inject('/health/ready')).json(), { parts: { memcached: { status: 'up', required: false } } })
  })
})
