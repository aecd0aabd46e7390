import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { bodyOf, sender } from '../sample-app.js'
import type { CacheAsideStatistics, CacheClearedReply, CachePerformance } from '../../../schemas/cache-aside.js'

export default function cacheAside (t: Test, app: FastifyInstance): void {
  const send = sender(app)
  const statistics = async () => bodyOf<CacheAsideStatistics>(await send('GET /cache/stats'))

  t.test('hits and misses are counted', async (t) => {
    t.match(await statistics(), { hits: 0, misses: 0, hit_rate: 0, total_requests: 0, cached_keys: 0 })
    for (let n = 0; n < 4; n++) await send('GET /products')
    t.match(await statistics(), { hits: 3, misses: 1, hit_rate: 75, total_requests: 4, cached_keys: 1 })
  })

  t.test('clearing drops every entry, and says how many', async (t) => {
    const requests = ['GET /products', 'GET /products/1', 'GET /items', 'GET /api/users/1', 'GET /api/posts/']
    for (const request of requests) await send(request)
    const cleared = await send('POST /cache/clear')
    t.equal(cleared.statusCode, 200)
    t.strictSame(bodyOf<CacheClearedReply>(cleared), { ok: true, message: 'Cache cleared successfully', cleared: 5 })
    for (const request of requests) t.match((await send(request)).headers['cache-status'], /fwd=(uri-)?miss/, request)
    t.match((await send('POST /cache/clear')).json(), { cleared: 5 })
  })

  t.test('the comparison measures both ways', async (t) => {
    const performance = bodyOf<CachePerformance>(await send('GET /cache/performance'))
    t.ok(performance.rounds >= 3)
    t.ok(performance.database_response_time > 0)
    t.match(performance.performance_improvement, /^-?\d+\.\d\d%$/)
    const saved = 1 - performance.cached_response_time / performance.database_response_time
    t.equal(performance.performance_improvement, `${(saved * 100).toFixed(2)}%`)
    t.match((await send('GET /products')).json(), { source: 'cache' })
  })
}
