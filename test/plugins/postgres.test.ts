import { readdirSync } from 'node:fs'
import type { PoolClient } from 'pg'
import pg from 'pg'
import t from 'tap'
import { DataDirLockedError } from '../../services/database/errors.js'
import { bodyOf, openApp, sender } from '../routes/sample-app.js'
import { eventually } from '../support/caches.js'
import { databaseUrl, startPostgres } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'

t.test('a server', async (t) => {
  const server = await startPostgres(t)

  t.test('may come up a moment after the service', async (t) => {
    await server.stop()
    const opening = openApp(t, { DATABASE_URL: server.url })
    await server.restart()
    const send = sender(await opening)
    t.equal((await send('GET /products')).statusCode, 200)
  })

  t.test('that goes away is 503 with Retry-After, and is used again when it is back', async (t) => {
    const app = await openApp(t, { DATABASE_URL: server.url })
    const send = sender(app)
    t.equal((await send('GET /products')).statusCode, 200)
    await server.kill()
    for (const request of ['GET /products/2', 'GET /products?limit=1', 'GET /items', 'DELETE /items/6c84fb90-12c4-11e1-840d-7b25c5ee775a']) {
      const response = await send(request)
      t.equal(response.statusCode, 503, request)
      t.match(response.headers['retry-after'], /^\d+$/)
      t.match(response.json(), { type: '/problems/unavailable' })
      t.notMatch(response.body, /SELECT|DELETE|postgres:|127\.0\.0\.1|ECONN/)
    }
    t.equal((await send('POST /items', { a: 1 })).statusCode, 503)
    t.match((await send('GET /products')).json(), { source: 'cache' }, 'what is cached is answered meanwhile')
    const ready = await send('GET /health/ready')
    t.equal(ready.statusCode, 200, 'so a balancer goes on sending')
    t.match(ready.json(), { status: 'degraded', parts: { postgres: { status: 'down' } } })
    t.equal((await send('GET /health')).statusCode, 503)
    await eventually(async () => bodyOf<{ stale: boolean }>(await send('GET /config')).stale, 'the settings say that they may be old')
    await server.restart()
    await eventually(async () => (await send('GET /products/2')).statusCode === 200, 'it is used again')
    t.equal((await send('POST /items', { a: 1 })).statusCode, 201)
  })

  t.test('may end every connection without ending the service', async (t) => {
    const app = await openApp(t, { DATABASE_URL: server.url })
    const send = sender(app)
    const held: PoolClient = await app.pg.connect()
    const other = new pg.Client(server.url)
    await other.connect()
    await other.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'larder'")
    await other.end()
    await t.rejects(held.query('SELECT 1'))
    held.release(true)
    t.equal((await send('GET /items?limit=1')).statusCode, 200)
  })

  t.test('that refuses ends the start, in words without the password', async (t) => {
    const url = new URL(server.url)
    url.pathname = '/nowhere'
    url.password = 'hidden'
    const fault = await openApp(t, { DATABASE_URL: url.href }).then(() => undefined, (error: Error) => error)
    t.match(fault?.message, /^PostgreSQL at 127\.0\.0\.1:\d+ cannot be used \(.*nowhere.*\): check DATABASE_URL/)
    t.notMatch(fault?.message, 'hidden')
  })
})

const versions = readdirSync(new URL('../../migrations/', import.meta.url))
  .filter((name) => name.includes('.do.')).map((name) => Number.parseInt(name)).sort((a, b) => a - b)

t.test('processes that start together migrate once, and enter the sample data once', async (t) => {
  const url = await databaseUrl(t)
  const apps = await Promise.all(Array.from({ length: 4 }, async () => await openApp(t, { DATABASE_URL: url })))
  for (const app of apps) {
    const { rows } = await app.database.query('SELECT version::int FROM larder_migrations ORDER BY version')
    t.strictSame(rows.map(({ version }) => version as number), [0, ...versions])
    t.equal(bodyOf<{ products: object[] }>(await sender(app)('GET /products')).products.length, 8)
  }
})

t.test('the embedded database', async (t) => {
  const folder = temporaryFolder(t)
  const app = await openApp(t, { DATA_DIR: folder, SAMPLE_DATA: '' })
  const send = sender(app)

  t.test('begins with the sample data', async (t) => {
    t.strictSame((await send('GET /api/users/1')).json(), { user: { id: 1, name: 'Cached User A' } })
    t.match((await send('GET /health/ready')).json(), { parts: { postgres: { status: 'up', required: true } } })
  })

  t.test('is refused to a second service, in words', async (t) => {
    await t.rejects(openApp(t, { DATA_DIR: folder }), DataDirLockedError)
    t.equal((await send('GET /products/1')).statusCode, 200)
  })

  t.test('takes transactions of @fastify/postgres, and queries beside them', async (t) => {
    const inside = app.pg.transact(async (client) => {
      await client.query('INSERT INTO users (name) VALUES ($1)', ['Inside'])
      throw new Error('changed my mind')
    })
    const beside = Promise.all(Array.from({ length: 10 }, async () => await send('GET /items?limit=1')))
    await t.rejects(inside, 'changed my mind')
    for (const { statusCode } of await beside) t.equal(statusCode, 200)
    const { rows } = await app.pg.query("SELECT 1 FROM users WHERE name = 'Inside'")
    t.strictSame(rows, [])
  })

  t.test('keeps what it has over a restart, and gives its folder back', async (t) => {
    await send('PUT /api/users/1', { name: 'Kept' })
    await send('DELETE /products/1')
    await app.close()
    t.strictSame(readdirSync(folder).sort(), ['cache', 'postgres', 'secret-key'])
    const again = sender(await openApp(t, { DATA_DIR: folder, SAMPLE_DATA: '' }))
    t.strictSame((await again('GET /api/users/1')).json(), { user: { id: 1, name: 'Kept' } })
    t.equal((await again('GET /products/1')).statusCode, 404)
  })
})
