import { request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import pg from 'pg'
import t from 'tap'
import { openApp } from '../routes/sample-app.js'
import { eventually } from '../support/caches.js'
import { databaseUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'

t.test('a request', async (t) => {
  const url = await databaseUrl(t)
  const app = await openApp(t, { DATABASE_URL: url, DATA_DIR: temporaryFolder(t), WORKER: 'false' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const other = new pg.Client(url)
  await other.connect()
  t.teardown(() => other.end())
  const put = async (body: object, headers: Record<string, string> = {}) => await fetch(`http://127.0.0.1:${port}/items`, {
    method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body)
  })
  const stored = async (name: string) => (await other.query('SELECT FROM items WHERE body LIKE $1', [`%${name}%`])).rowCount
  const idle = async () => await eventually(() => app.database.connections.used === 0, 'nothing is done for it any more')

  t.test('with a Request-Timeout is answered within it, or 504, and nothing is done for it afterwards', async (t) => {
    t.equal((await put({ name: 'quick' }, { 'request-timeout': '30' })).status, 201)
    await other.query('BEGIN; LOCK TABLE items')
    const begun = performance.now()
    const late = await put({ name: 'late' }, { 'request-timeout': '0.2' })
    t.equal(late.status, 504)
    t.match(await late.json(), { type: '/problems/timeout', status: 504 })
    t.ok(performance.now() - begun < 2500, 'long before the lock timeout')
    await idle()
    await other.query('COMMIT')
    t.equal(await stored('late'), 0)
    t.equal((await put({ name: 'afterwards' })).status, 201)
  })

  t.test('whose Request-Timeout passes changes no keys and no settings, and publishes nothing', async (t) => {
    const counts = async () => (await other.query<Record<string, string>>('SELECT (SELECT count(*) FROM api_keys) AS keys, (SELECT count(*) FROM settings) AS settings, (SELECT count(*) FROM events) AS events')).rows
    const before = await counts()
    for (const [table, path, method, body] of [
      ['api_keys', '/keys', 'POST', { name: 'late', scopes: ['items:read'] }],
      ['settings', '/config/retry.attempts', 'PUT', { value: 3 }],
      ['events', '/events', 'POST', { channel: 'late', event: {} }]
    ] as const) {
      await other.query(`BEGIN; LOCK TABLE ${table} IN SHARE MODE`)
      const late = await fetch(`http://127.0.0.1:${port}${path}`, {
        method, headers: { 'content-type': 'application/json', 'if-match': '*', 'request-timeout': '0.3' }, body: JSON.stringify(body)
      })
      t.equal(late.status, 504, path)
      await other.query('COMMIT')
      await idle()
    }
    t.strictSame(await counts(), before)
  })

  t.test('whose Request-Timeout passes while it reads is 504 as well', async (t) => {
    await other.query('BEGIN; LOCK TABLE items')
    const answer = await fetch(`http://127.0.0.1:${port}/items?nocache=true`, { headers: { 'request-timeout': '0.1' } })
    t.equal(answer.status, 504)
    await other.query('COMMIT')
    await idle()
  })

  t.test('with a Request-Timeout that is none is refused', async (t) => {
    for (const text of ['0', '-1', 'soon', '1e3', '3601', '']) {
      const answer = await put({ name: 'none' }, { 'request-timeout': text })
      t.equal(answer.status, 400, text)
      t.match(await answer.json(), { detail: /Request-Timeout must be/ })
    }
    t.equal(await stored('none'), 0)
  })

  t.test('is tried again as the run-time settings say, in every process', async (t) => {
    const second = await openApp(t, { DATABASE_URL: url, DATA_DIR: temporaryFolder(t), WORKER: 'false' })
    t.match(app.retries.policy, { attempts: 4, baseDelay: 50, maxDelay: 2000, deadline: 5000, trials: 3 })
    await app.configStore.put({ 'retry.attempts': 2, 'retry.base_delay': 0.25, 'retry.deadline': 3, 'retry.trials': 1 })
    t.match(app.retries.policy, { attempts: 2, baseDelay: 250, maxDelay: 2000, deadline: 3000, trials: 1 })
    await eventually(() => second.retries.policy.attempts === 2, 'in the other process as well', 5000)
    t.equal(second.retries.of('postgres').policy.deadline, 3000)
  })
})

t.test('a client that goes away does not wait for a connection any longer, and nothing is carried out for it', async (t) => {
  // Where nobody else looks after changes.
  const app = await openApp(t, { DATA_DIR: temporaryFolder(t), WORKER: 'false' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  let letGo: (() => void) | undefined
  const holding = app.database.transaction(async () => { await new Promise<void>((resolve) => { letGo = resolve }) })
  await eventually(() => letGo !== undefined, 'the connection is taken')
  const client = ask({ port, host: '127.0.0.1', path: '/items', method: 'POST', headers: { 'content-type': 'application/json' } })
  client.on('error', () => {})
  client.end(JSON.stringify({ name: 'gone' }))
  await eventually(() => app.database.connections.waiting === 1, 'it waits')
  client.destroy()
  await eventually(() => app.database.connections.waiting === 0, 'nobody waits any more', 5000)
  letGo?.()
  await holding
  t.strictSame((await app.database.query("SELECT FROM items WHERE body LIKE '%gone%'")).rows, [])
})
