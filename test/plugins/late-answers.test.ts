import { request as ask } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, Writable } from 'node:stream'
import { setTimeout as after } from 'node:timers/promises'
import SQL from '@nearform/sql'
import t from 'tap'
import { buildApp } from '../../app.js'
import { loadConfig } from '../../config.js'
import { Cache } from '../../services/cache/cache.js'
import { Increments } from '../../services/cache/increments.js'
import { Claim } from '../../services/idempotency/claim.js'
import { eventually } from '../support/caches.js'
import type { Owner } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { UNLIMITED } from '../support/unlimited.js'

/** Seconds that a caller gives, and milliseconds that what it asks for takes: longer. */
const SHORT = { 'request-timeout': '0.05' }
const LONG = 300

t.test('an answer that is late, or that nobody takes', async (t) => {
  const lines: string[] = []
  const stream = new Writable({
    write (chunk, _encoding, done) {
      lines.push(String(chunk))
      done()
    }
  })
  const app = await buildApp(loadConfig({ SAMPLE_DATA: 'true', DATA_DIR: temporaryFolder(t), WORKER: 'false', CACHE_ACCESS_LOG_ENABLED: 'false', ...UNLIMITED }), {
    logger: { level: 'warn', stream }
  })
  t.teardown(() => app.close())
  app.post('/streamed', { config: { scope: 'public' } }, async () => Readable.from(['a', 'b']))
  let sent = 0
  app.post('/sending', { config: { scope: 'public' } }, async (_request, reply) => {
    await after(LONG)
    void reply.send('late')
    sent++
    return reply
  })
  app.post('/hijacked', { config: { scope: 'public' } }, (_request, reply) => {
    reply.hijack()
    reply.raw.end('taken over')
  })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const post = async (path: string, body: object, headers: Record<string, string> = {}) => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) })
    const text = await response.text()
    const json = (): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>
    return { status: response.status, isReplayed: response.headers.has('idempotency-replayed'), text, json }
  }
  const count = async (): Promise<number> => Number((await app.database.query<{ n: string }>('SELECT count(*) AS n FROM idempotency_keys')).rows[0]?.n)
  const { database } = app
  t.beforeEach(async () => { await database.query('TRUNCATE idempotency_keys') })

  t.test('is sent once when the time is over while it is being kept', async (t) => {
    slow(t, database, 'query', /UPDATE idempotency_keys SET applied/)
    t.match(await post('/api/cache/set', { key: 'kept', value: 1 }, { 'idempotency-key': 'kept', ...SHORT }), { status: 200 })
    t.match(await post('/api/cache/set', { key: 'kept', value: 1 }, { 'idempotency-key': 'kept' }), { status: 200, isReplayed: true })
  })

  t.test('is sent once when the time is over while the cache is told', async (t) => {
    slow(t, app.responseCache, 'drop')
    t.match(await post('/api/posts/', { title: 'told' }, SHORT), { status: 201 })
  })

  t.test('is dropped when 504 is on the way, also where that waits', async (t) => {
    const given = slow(t, database, 'query', /DELETE FROM idempotency_keys/)
    const made = slow(t, Cache.prototype, 'set', undefined, LONG / 2)
    t.match(await post('/api/cache/set', { key: 'dropped', value: 1 }, { 'idempotency-key': 'dropped', ...SHORT }), { status: 504 })
    t.match([made.ended, given.ended], [1, 1], 'it was made while the key was being given up')
    t.match(await post('/api/cache/set', { key: 'dropped', value: 1 }, { 'idempotency-key': 'dropped' }), { status: 200, isReplayed: false })
  })

  t.test('to a request whose key was being looked up leaves the key free', async (t) => {
    const seen = slow(t, database, 'query', /INSERT INTO idempotency_keys/)
    t.match(await post('/items', { name: 'looked up' }, { 'idempotency-key': 'waiting', ...SHORT }), { status: 504 })
    await eventually(() => seen.ended === 1, 'the key is claimed')
    seen.restore()
    await eventually(async () => await count() === 0, 'it is given up')
    t.match(await post('/items', { name: 'looked up' }, { 'idempotency-key': 'waiting' }), { status: 201, isReplayed: false })
  })

  t.test('to a client that has gone away is not kept', async (t) => {
    const seen = slow(t, database, 'transaction')
    const client = ask({ port, host: '127.0.0.1', path: '/items', method: 'POST', headers: { 'content-type': 'application/json', 'idempotency-key': 'gone' } })
    client.on('error', () => {})
    client.end(JSON.stringify({ name: 'gone' }))
    await eventually(() => seen.begun === 1, 'it is carried out')
    client.destroy()
    await eventually(() => seen.ended === 1, 'it is given up')
    seen.restore()
    await eventually(async () => await count() === 0, 'no answer is kept')
    t.match(await post('/items', { name: 'gone' }, { 'idempotency-key': 'gone' }), { status: 201, isReplayed: false })
  })

  t.test('leaves a counter that may have been incremented alone, and says that nobody knows', async (t) => {
    const seen = slow(t, Increments.prototype, 'add')
    const late = await post('/api/cache/increment', { key: 'n' }, { 'idempotency-key': 'once', ...SHORT })
    t.match(late.json(), { status: 504, detail: /Send it again with the same Idempotency-Key, or look/ })
    await eventually(() => seen.ended === 1, 'it is incremented all the same')
    t.match((await post('/api/cache/increment', { key: 'n' }, { 'idempotency-key': 'once' })).json(), { type: '/problems/request-in-progress' })
    await database.query(SQL`UPDATE idempotency_keys SET leased_until = now()`)
    t.match((await post('/api/cache/increment', { key: 'n' }, { 'idempotency-key': 'once' })).json(), { type: '/problems/outcome-unknown' })
    t.equal(seen.begun, 1)
  })

  t.test('that is a stream, or goes past the hooks, ends the claim', async (t) => {
    const end = Reflect.get<Claim, 'end'>(Claim.prototype, 'end')
    t.teardown(() => { Claim.prototype.end = end })
    const ended = new Set<Claim>()
    Claim.prototype.end = function () {
      ended.add(this)
      end.call(this)
    }
    t.match(await post('/streamed', {}, { 'idempotency-key': 'streamed' }), { status: 200, text: 'ab' })
    await eventually(() => ended.size === 1, 'that of the stream')
    t.match(await post('/hijacked', {}, { 'idempotency-key': 'hijacked' }), { status: 200, text: 'taken over' })
    await eventually(() => ended.size === 2, 'with the connection')
  })

  t.test('is no line of the log, and says what to do', async (t) => {
    lines.length = 0
    let letGo: (() => void) | undefined
    const holding = database.transaction(async () => { await new Promise<void>((resolve) => { letGo = resolve }) })
    await eventually(() => letGo !== undefined, 'the connection is taken')
    t.match((await post('/items', { name: 'late' }, SHORT)).json(), { status: 504, type: '/problems/timeout', detail: /Look whether it is before you send it again/ })
    const read = await fetch(`http://127.0.0.1:${port}/items?nocache=true`, { headers: SHORT })
    t.match(await read.json(), { status: 504, detail: /give it more, or send it again\.$/ })
    letGo?.()
    await holding
    t.match(await post('/sending', {}, SHORT), { status: 504 })
    await eventually(() => sent === 1, 'the handler answers nevertheless')
    t.strictSame(lines, [])
  })
})

/** Until the test ends, calls of the method take long, or those of them whose statement is like that. */
function slow (owner: Owner, target: object, method: string, like?: RegExp, time = LONG): { begun: number, ended: number, restore: () => void } {
  const original = Reflect.get(target, method) as (...given: unknown[]) => Promise<unknown>
  const seen = { begun: 0, ended: 0, restore: () => { Reflect.set(target, method, original) } }
  owner.teardown(seen.restore)
  Reflect.set(target, method, async function (this: unknown, ...given: unknown[]) {
    if (like !== undefined && !like.test(textOf(given[0]))) return await original.apply(this, given)
    seen.begun++
    await after(time)
    try {
      return await original.apply(this, given)
    } finally {
      seen.ended++
    }
  })
  return seen
}

const textOf = (statement: unknown): string => typeof statement === 'string' ? statement : (statement as { text: string }).text
