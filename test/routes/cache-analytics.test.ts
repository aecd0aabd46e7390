import t from 'tap'
import type { CacheAnalytics } from '../../schemas/cache-analytics.js'
import { startRedis } from '../support/servers.js'
import { eventually } from '../support/caches.js'
import { Api, startApp } from './cache/api.js'

interface Reply { success: boolean, analytics: CacheAnalytics }

async function analyticsOf (api: Api, query: Record<string, string | number> = {}): Promise<CacheAnalytics> {
  const answer = await api.get('/analytics', query)
  if (answer.status !== 200) throw new Error(answer.text)
  return (answer.body as unknown as Reply).analytics
}

/** A name that stands in no other part of an answer. */
const named = (api: Api, name: string): string => `${api.namespace}-${name}`

void t.test('analytics', async (t) => {
  const app = await startApp(t)
  const all = async (query = ''): Promise<CacheAnalytics> => (await app.inject(`/api/cache/analytics${query}`)).json<Reply>().analytics

  await t.test('of a cache in which nothing happened they are zeros, not faults', async (t) => {
    const response = await app.inject('/api/cache/analytics')
    t.equal(response.statusCode, 200)
    t.equal(response.headers['cache-control'], 'no-store')
    const { success, analytics } = response.json<Reply>()
    t.equal(success, true)
    t.match(analytics, {
      backend: 'memory',
      namespace: null,
      hot_keys: { accesses: 0, keys: [] },
      memory_distribution: { sampled: false, total_items: 0, total_bytes: 0, by_data_type: [], by_prefix: [], other_prefixes: { prefixes: 0 } },
      ttl_distribution: { never_expires: 0 },
      eviction_rate: { last_minute: 0, last_5_minutes: 0, last_hour: 0 },
      what_if: null
    })
    t.match(analytics.unavailable, { what_if: /enough/ })
    t.ok(analytics.access_patterns?.hours.every(({ hit_rate: rate, hits }) => rate === null && hits === 0))
  })

  for (const backend of ['memory', 'redis', 'database', 'file']) {
    await t.test(`${backend}: every part tells of what was done`, async (t) => {
      const api = new Api(app, backend)
      await api.set(named(api, 'user:1'), { name: 'x' }, { ttl: 60 })
      await api.set(named(api, 'user:2'), 'text', { ttl: 0 })
      await api.set('plain', 5, { ttl: 7200 })
      for (let i = 0; i < 7; i++) await api.read(named(api, 'user:1'))
      for (let i = 0; i < 3; i++) await api.read('absent')
      await api.delete('/delete/nothing')
      const { backend: told, namespace, hot_keys: hot, access_patterns: patterns, memory_distribution: memory, ttl_distribution: ttls } = await analyticsOf(api)
      t.equal(told, backend)
      t.equal(namespace, api.namespace)
      t.match(hot.keys, [
        { namespace: api.namespace, key: named(api, 'user:1'), accesses: 7, error: 0, share: 70 },
        { key: 'absent', accesses: 3 }
      ])
      t.match(patterns?.minutes.reduce((sum, { hits, misses, sets, deletes }) => [sum[0]! + hits, sum[1]! + misses, sum[2]! + sets, sum[3]! + deletes], [0, 0, 0, 0]), [7, 3, 3, 1])
      t.match(patterns?.hours.at(-1), { hits: 7, misses: 3, hit_rate: 70 })
      t.match(memory, { sampled: false, sample_size: 3, total_items: 3, complete: true, source: backend === 'memory' ? 'memory' : 'backend' })
      t.strictSame(new Set(memory.by_prefix.map(({ prefix, items }) => [prefix, items])), new Set([[named(api, 'user'), 2], [null, 1]]))
      t.strictSame(memory.by_data_type.map(({ data_type: type }) => type).sort(), ['json', 'number', 'string'])
      const keys = (await api.get('/keys')).body.keys
      t.equal(memory.total_bytes, keys.reduce((sum, { size }) => sum + size, 0))
      t.equal(ttls.never_expires, 1)
      t.strictSame(ttls.buckets.filter(({ as_set: count }) => count > 0).map(({ from, to }) => [from, to]), [[60, 300], [3600, 21600]])
      const { backend_performance: performance } = await all(`?backend=${backend}`)
      const get = performance?.operations.find(({ operation }) => operation === 'get')
      t.match(get, { backend, error_count: 0 })
      t.ok((get?.count ?? 0) >= 10)
      const { p50, p90, p95, p99, max } = get?.latency ?? { p50: NaN, p90: NaN, p95: NaN, p99: NaN, max: NaN }
      t.ok(p50 > 0 && p50 <= p90 && p90 <= p95 && p95 <= p99 && p99 <= max && max < 30, JSON.stringify(get))
      t.ok(performance?.operations.every((each) => each.backend === backend))
    })

    await t.test(`${backend}: with a namespace nothing tells of another`, async (t) => {
      const [mine, other] = [new Api(app, backend), new Api(app, backend)]
      const secret = `secret-${backend}`
      await other.set(`${secret}:1`, [1, 2, 3], { data_type: 'list', ttl: 0 })
      for (let i = 0; i < 20; i++) await other.read(`${secret}:1`)
      const empty = await analyticsOf(mine)
      t.match(empty, {
        hot_keys: { accesses: 0, sampled_accesses: null, keys: [] },
        memory_distribution: { total_items: 0, total_bytes: 0, by_prefix: [], by_data_type: [], other_prefixes: { prefixes: 0, items: 0 } },
        ttl_distribution: { never_expires: 0 },
        backend_performance: null,
        eviction_rate: { last_minute: 0, last_hour: 0 },
        what_if: null
      })
      t.ok(empty.access_patterns?.hours.every(({ hits, misses, sets, deletes, evictions }) => hits + misses + sets + deletes + evictions === 0))
      t.ok(empty.ttl_distribution.buckets.every(({ as_set: set, remaining }) => set === 0 && remaining === 0))
      t.match(empty.unavailable, { backend_performance: /namespace/, what_if: /namespace/ })
      await mine.set('own', 1)
      await mine.read('own')
      const text = JSON.stringify(await analyticsOf(mine))
      t.notMatch(text, secret)
      t.notMatch(text, other.namespace)
      t.match(JSON.stringify(await all(`?backend=${backend}`)), secret, 'without one, everything is told of')
    })
  }

  for (const backend of ['memory', 'redis', 'database', 'file']) {
    await t.test(`${backend}: namespaces whose names begin alike are told apart, in statistics as in analytics`, async (t) => {
      const [mine, longer, other] = [new Api(app, backend, `tenant-${backend}`), new Api(app, backend, `tenant-${backend}-2`), new Api(app, backend, 'tenant')]
      for (const api of [longer, other]) {
        await api.post('/set-batch', ['a', 'b', 'a:b'].map((key) => ({ key, value: 'x'.repeat(100), ttl: 0, metadata: { tags: ['t'] } })))
        await api.post('/get-batch', ['a', 'b', 'none'])
        await api.delete('/delete/a')
        await api.post('/increment', { key: 'n' })
        await api.post('/invalidate', { tags: ['t'] })
        await api.set('kept', 1)
      }
      const { statistics, raw_stats: raw } = (await mine.get('/stats')).body
      for (const name of ['total_items', 'total_memory_usage', 'hits', 'misses', 'sets', 'deletes', 'expirations', 'eviction_count', 'hit_rate'] as const) {
        t.equal(statistics[name], 0, name)
      }
      const told = Object.entries(raw).filter(([name, count]) => count !== 0 && !/breaker/.test(name))
      t.strictSame(told, [], 'and nothing in the raw counters')
      const empty = await analyticsOf(mine)
      t.strictSame(empty.hot_keys.keys, [])
      t.equal(empty.memory_distribution.total_items, 0)
      t.ok(empty.access_patterns?.hours.every(({ hits, misses, sets, deletes }) => hits + misses + sets + deletes === 0))
      await mine.set('a', 1)
      await mine.read('a')
      t.match((await mine.get('/stats')).body.statistics, { total_items: 1, hits: 1, misses: 0, sets: 1, deletes: 0 })
      t.match(await analyticsOf(other), { hot_keys: { keys: [{ key: 'a', accesses: 1 }, { accesses: 1 }, { accesses: 1 }] }, memory_distribution: { total_items: 2 } })
    })
  }

  await t.test('operations of every backend are told of unless one is named', async (t) => {
    const { backend_performance: performance } = await all()
    const told = new Set<string>(performance?.operations.map(({ backend }) => backend))
    t.ok(['database', 'memory', 'redis'].every((backend) => told.has(backend)), [...told].join())
  })

  await t.test('limit bounds the hot keys and the prefixes', async (t) => {
    const api = new Api(app, 'memory')
    for (let i = 0; i < 5; i++) {
      await api.set(`p${i}:1`, 'x'.repeat(100 * i))
      for (let reads = 0; reads <= i; reads++) await api.read(`p${i}:1`)
    }
    const { hot_keys: hot, memory_distribution: memory } = await analyticsOf(api, { limit: 2 })
    t.strictSame(hot.keys.map(({ key }) => key), ['p4:1', 'p3:1'])
    t.strictSame(memory.by_prefix.map(({ prefix }) => prefix), ['p4', 'p3'])
    t.match(memory.other_prefixes, { prefixes: 3, items: 3 })
    t.equal((await api.get('/analytics', { limit: 0 })).status, 400)
    t.equal((await api.get('/analytics', { limit: 1001 })).status, 400)
    t.equal((await api.get('/analytics', { unknown: 1 })).status, 400)
  })

  await t.test('the hit rate at other sizes is told after enough reads, and starts anew with new limits', async (t) => {
    const api = new Api(app, 'memory')
    await new Api(app, 'memory', 'default').post('/config', { max_items: 100 })
    const keys = Array.from({ length: 150 }, (_, i) => `k${i}`)
    for (let round = 0; round < 40; round++) {
      for (let start = 0; start < 150; start += 30) {
        const portion = keys.slice(start, start + 30)
        const found = (await api.post('/get-batch', portion)).body.results
        await api.post('/set-batch', found.filter(({ result }) => !result.found).map(({ key }) => ({ key, value: 1 })))
      }
    }
    const { what_if: curve, eviction_rate: evictions } = await all('?backend=memory')
    t.match(curve, { strategy: 'lru', sampling_rate: 1, points: [{ size_factor: 0.5, max_items: 50 }, { size_factor: 1 }, { size_factor: 2, max_items: 200 }, { size_factor: 4 }] })
    const rates = curve?.points.map(({ hit_rate: rate }) => rate) ?? []
    t.ok(rates[0] === 0 && rates[1] === 0 && rates[2]! > 90 && rates[3]! > 90, JSON.stringify(curve))
    t.equal(curve?.actual_hit_rate, 0)
    t.ok((evictions?.last_minute ?? 0) > 0)
    await new Api(app, 'memory', 'default').post('/config', { max_items: 10_000 })
    t.equal((await all('?backend=memory')).what_if, null)
    t.match((await all('?backend=redis')).unavailable, { what_if: /no limits/ })
    await new Api(app, 'redis', 'default').post('/config', { max_items: 500 })
    t.match((await all('?backend=redis')).unavailable, { what_if: /enough/ })
  })
})

void t.test('without performance tracking there are no latencies, and a word why', async (t) => {
  const app = await startApp(t, { REDIS_URL: '', CACHE_PERFORMANCE_TRACKING: 'false' })
  const { analytics } = (await app.inject('/api/cache/analytics')).json<Reply>()
  t.equal(analytics.backend_performance, null)
  t.match(analytics.unavailable, { backend_performance: /CACHE_PERFORMANCE_TRACKING/ })
  t.equal((await app.inject('/api/cache/analytics?backend=redis')).statusCode, 503)
  t.equal((await app.inject('/api/cache/analytics?backend=*')).statusCode, (await app.inject('/api/cache/stats?backend=*')).statusCode)
})

void t.test('without metrics there are latencies all the same', async (t) => {
  const app = await startApp(t, { REDIS_URL: '', CACHE_METRICS_ENABLED: 'false' })
  await new Api(app, 'memory').read('a')
  const { analytics } = (await app.inject('/api/cache/analytics')).json<Reply>()
  t.match(analytics.backend_performance?.operations, [{ backend: 'memory', operation: 'get', count: 1 }])
})

void t.test('while Redis is away its analytics go on from what this process holds, and errors are counted', async (t) => {
  const server = await startRedis(t)
  const app = await startApp(t, { REDIS_URL: server.url })
  const redis = new Api(app, 'redis')
  await redis.set('a:1', 1)
  await server.kill()
  await eventually(async () => (await redis.set('b', 1)).status === 503, 'the loss is noticed')
  const { analytics } = (await app.inject('/api/cache/analytics?backend=redis')).json<Reply>()
  t.equal(analytics.memory_distribution.source, 'memory_tier')
  const set = analytics.backend_performance?.operations.find(({ operation }) => operation === 'set')
  t.ok((set?.error_count ?? 0) >= 1, JSON.stringify(set))
})
