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
}
