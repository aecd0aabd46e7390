import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { bodyOf, sender } from '../sample-app.js'

type Posts = { posts: string[], next_cursor?: string }

export default function posts (t: Test, app: FastifyInstance): void {
  const send = sender(app)

  t.test('the list is cached under one key for both spellings, until a post is created', async (t) => {
    const first = await send('GET /api/posts/')
    t.strictSame(first.json(), { posts: ['Cached post A', 'Cached post B'] })
    t.equal(first.headers['cache-status'], 'larder; fwd=miss; stored; key="GET:/api/posts/"')
    t.match((await send('GET /api/posts')).headers['cache-status'], /^larder; hit; ttl=(89|90); key="GET:\/api\/posts\/"$/)
    const created = await send('POST /api/posts/', { title: 'New Post A' })
    t.equal(created.statusCode, 201)
    t.strictSame(created.json(), { message: 'Post created' })
    t.strictSame((await send('GET /api/posts/')).json(), { posts: ['Cached post A', 'Cached post B', 'New Post A'] })
    t.match((await send('GET /api/posts/?nocache=true')).headers['cache-status'], 'larder; fwd=bypass; stored')
  })

  t.test('pages follow each other by cursor', async (t) => {
    const first = bodyOf<Posts>(await send('GET /api/posts/?limit=1'))
    t.strictSame(first.posts, ['Cached post A'])
    t.strictSame(bodyOf<Posts>(await send(`GET /api/posts/?limit=1&cursor=${first.next_cursor}`)).posts, ['Cached post B'])
  })

  t.test('what is no post is refused', async (t) => {
    for (const body of [{}, { title: '' }, { title: 1 }, { title: 'x'.repeat(256) }, { title: 'a\0b' }, { title: 'x', body: 'y' }]) {
      t.equal((await send('POST /api/posts', body)).statusCode, 400, JSON.stringify(body).slice(0, 60))
    }
  })

  t.test('a cached response is dropped by its key, however that is written, and only where there is one', async (t) => {
    for (const path of ['GET:/api/posts/', encodeURIComponent('GET:/api/posts/')]) {
      await send('GET /api/posts/')
      t.match((await send('GET /api/posts/')).headers['cache-status'], /^larder; hit/)
      t.strictSame((await send(`DELETE /api/invalidate/${path}`)).json(), { message: 'Cache key deleted' })
      t.equal((await send(`DELETE /api/invalidate/${path}`)).statusCode, 404)
      t.match((await send('GET /api/posts/')).headers['cache-status'], /fwd=miss/)
    }
    for (const path of ['GET:/api/posts', 'x', '%20']) t.equal((await send(`DELETE /api/invalidate/${path}`)).statusCode, 404, path)
    t.equal((await send('DELETE /api/invalidate/%zz')).statusCode, 400)
  })

  t.test('what else is cached beside the responses is dropped by its exact key', async (t) => {
    const { cache } = app
    for (const key of ['all_products', 'product:5', 'tagged']) {
      await cache.getOrSet(key, () => ({ key }), { ttl: 60 })
      await cache.getOrSet(`beside ${key}`, () => 1, { ttl: 60, tags: [key] })
      t.equal((await send(`DELETE /api/invalidate/${key}`)).statusCode, 200, key)
      t.equal(await cache.peek(cache.namespace, key), undefined, 'it is gone')
      t.ok(await cache.peek(cache.namespace, `beside ${key}`), 'a key is no tag')
      t.equal((await send(`DELETE /api/invalidate/${key}`)).statusCode, 404, key)
    }
  })

  t.test('a key with a query is dropped as it is', async (t) => {
    await send('GET /api/posts/?limit=2')
    t.equal((await send('DELETE /api/invalidate/GET:/api/posts/?limit=2')).statusCode, 200)
    t.match((await send('GET /api/posts/?limit=2')).headers['cache-status'], /fwd=miss/)
    t.equal((await send('DELETE /api/invalidate/GET:/api/posts/?limit=3')).statusCode, 404)
  })

  t.test('what is cached and read is counted', async (t) => {
    const before = bodyOf<{ hits: number, misses: number }>(await send('GET /metrics/cache'))
    await send('DELETE /api/invalidate/GET:/api/posts/')
    for (let i = 0; i < 8; i++) await send('GET /api/posts/')
    const { hits, misses, top_keys: top, total_cached_keys: total } = bodyOf<{ hits: number, misses: number, top_keys: [string, number][], total_cached_keys: number }>(await send('GET /metrics/cache'))
    t.equal(hits - before.hits, 7)
    t.equal(misses - before.misses, 1)
    t.ok(total >= 1)
    t.ok(top.some(([key, count]) => key === 'GET:/api/posts/' && count >= 8), JSON.stringify(top))
  })
}
