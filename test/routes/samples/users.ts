import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { sender } from '../sample-app.js'

export default function users (t: Test, app: FastifyInstance): void {
  const send = sender(app)

  t.test('a user is cached until it is renamed', async (t) => {
    const first = await send('GET /api/users/1')
    t.strictSame(first.json(), { user: { id: 1, name: 'Cached User A' } })
    t.match(first.headers['cache-status'], 'larder; fwd=miss; stored; key="GET:/api/users/1"')
    const second = await send('GET /api/users/1/')
    t.match(second.headers['cache-status'], /^larder; hit; ttl=1(19|20)/)
    t.strictSame(second.json(), first.json())
    const renamed = await send('PUT /api/users/1', { name: 'Updated User A' })
    t.equal(renamed.statusCode, 200)
    t.strictSame(renamed.json(), { message: 'User updated' })
    t.strictSame((await send('GET /api/users/1')).json(), { user: { id: 1, name: 'Updated User A' } })
  })

  t.test('what is wrong is refused', async (t) => {
    t.equal((await send('GET /api/users/999')).statusCode, 404)
    t.equal((await send('PUT /api/users/999', { name: 'x' })).statusCode, 404)
    t.equal((await send('GET /api/users/x')).statusCode, 400)
    for (const body of [{}, { name: '' }, { name: null }, { name: 'a\0b' }, { name: 'x', id: 2 }]) {
      t.equal((await send('PUT /api/users/1', body)).statusCode, 400, JSON.stringify(body))
    }
  })
}
