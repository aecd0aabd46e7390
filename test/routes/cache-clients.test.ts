import t from 'tap'
import { startApp } from './cache/api.js'

const app = await startApp(t, { REDIS_URL: '' })
const origin = await app.listen({ host: '127.0.0.1', port: 0 })

/** What the documents' clients do with an answer: nothing but read it. */
async function call (path: string, options: RequestInit = {}): Promise<unknown> {
  const response = await fetch(origin + path, options)
  t.equal(response.status, 200, path)
  t.match(response.headers.get('content-type'), /^application\/json/)
  return response.json()
}

const post = (path: string, body: unknown) => call(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) })

void t.test('the requests of the JavaScript client give it what it reads', async (t) => {
  const user = { name: 'John Doe', email: 'john@example.com', lastLogin: '2024-01-15T10:30:00Z' }
  t.match(await post('/api/cache/set', {
    key: 'user:123', value: user, data_type: 'json', ttl: 3600, metadata: { tags: ['user', 'profile'], source: 'database' }
  }), { success: true, key: 'user:123' })

  t.match(await call('/api/cache/get/user:123'), { found: true, cache_item: { value: user } })

  t.match(await post('/api/cache/set-batch', [
    { key: 'config:app', value: { version: '1.0.0', debug: false }, data_type: 'json' },
    { key: 'stats:daily', value: { users: 1000, requests: 50000 }, data_type: 'json' }
  ]), { successful_count: 2, failed_count: 0 })

  const batch = await post('/api/cache/get-batch', ['config:app', 'stats:daily', 'nonexistent']) as {
    results: Array<{ key: string, success: boolean, result: { found: boolean, cache_item: { value: unknown } } }>
  }
  t.strictSame(batch.results.map(({ key, success, result }) => success && result.found ? [key, result.cache_item.value] : [key, 'Not found']), [
    ['config:app', { version: '1.0.0', debug: false }], ['stats:daily', { users: 1000, requests: 50000 }], ['nonexistent', 'Not found']
  ])

  const { statistics } = await call('/api/cache/stats') as { statistics: { hit_rate: number, total_memory_usage: number } }
  t.equal(statistics.hit_rate.toFixed(2), '75.00')
  t.match((statistics.total_memory_usage / 1024 / 1024).toFixed(2), /^0\.00$/)

  t.match(await post('/api/cache/warm', {
    'config:system': { maintenance: false, version: '2.1.0' },
    'cache:hot': { popular_items: ['item1', 'item2', 'item3'] },
    'user:admin': { role: 'admin', permissions: ['read', 'write', 'delete'] }
  }), { successful_count: 3 })
})

void t.test('so do those that the Python client makes besides, and the curl examples', async (t) => {
  const { keys } = await call('/api/cache/keys?pattern=config:*') as { keys: Array<{ key: string }> }
  t.strictSame(keys.map(({ key }) => key).sort(), ['config:app', 'config:system'])
  t.match(await post('/api/cache/invalidate', { tags: ['user', 'profile'] }), { success: true, deleted_count: 1 })
  t.match(await call('/api/cache/get/user:123'), { found: false })
  t.match(await call('/api/cache/get/config:app?backend=memory'), { found: true })
  t.match(await call('/api/cache/delete/config:app', { method: 'DELETE' }), { success: true, found: true })
  t.match(await call('/api/cache/keys?pattern=user:*&limit=100&offset=0'), { limit: 100, offset: 0, total_keys: 1 })
  t.match(await call('/api/cache/stats?backend=memory'), { statistics: { backend: 'memory' } })
  t.match(await call('/api/cache/config'), { config: { backend: 'memory', strategy: 'lru' } })
  t.match(await post('/api/cache/invalidate', { tags: ['user', 'profile'], pattern: 'temp:*' }), { success: true })
  t.match(await call('/api/cache/clear?pattern=user:*&backend=memory', { method: 'POST' }), { deleted_count: 1, pattern: 'user:*' })
  t.match(await call('/api/cache/delete/nothing', { method: 'DELETE', headers: { 'Content-Type': 'application/json' } }), { found: false })
})
