import { setImmediate as immediate } from 'node:timers/promises'
import t from 'tap'
import { bodyOf, databases, openApp, sender } from './sample-app.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import type { CacheAsideStatistics, CacheClearedReply, CachePerformance } from '../../schemas/cache-aside.js'

for (const [kind, environment] of Object.entries(databases)) {
  t.test(`the cache as a whole, on ${kind}`, async (t) => {
    const send = sender(await openApp(t, await environment(t)))
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
      for (const request of requests) t.match((await send(request)).headers['cache-status'], /fwd=miss/, request)
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
  })
}

t.test('what one process writes, another that has it cached answers', async (t) => {
  const environment = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t) }
  const [one, other] = (await Promise.all([openApp(t, environment), openApp(t, environment)])).map(sender) as [Sender, Sender]
  const { id } = bodyOf<{ id: string }>(await one('POST /items', { age: 30 }))
  const changes: [read: string, write: string, body: object | undefined, expected: (body: string) => boolean][] = [
    [`GET /items/${id}`, `PUT /items/${id}`, { age: 31 }, (body) => body.includes('"age":31')],
    ['GET /items', `DELETE /items/${id}`, undefined, (body) => body.includes('"items":[]')],
    ['GET /products', 'PUT /products/1', { price: 5 }, (body) => body.includes('"price":5,')],
    ['GET /api/posts/', 'POST /api/posts/', { title: 'New Post A' }, (body) => body.includes('New Post A')],
    ['GET /api/users/1', 'PUT /api/users/1', { name: 'Updated' }, (body) => body.includes('Updated')]
  ]
  for (const [read, write, body, isNew] of changes) {
    for (const send of [one, other, other]) await send(read)
    t.match((await other(read)).headers['cache-status'], /^larder; hit/, read)
    t.ok((await one(write, body)).statusCode < 300)
    t.ok(isNew((await one(read)).body), `${read} at once where it was written`)
    while (!isNew((await other(read)).body)) await immediate()
  }
})

type Sender = ReturnType<typeof sender>
