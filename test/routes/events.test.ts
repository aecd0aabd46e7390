import pg from 'pg'
import t, { type Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { STREAMS_PER_CALLER } from '../../plugins/event-streams.js'
import type { Event } from '../../schemas/events.js'
import { eventually as poll } from '../support/caches.js'
import { eventMessages } from '../support/event-messages.js'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { ADMINISTRATOR_KEY, bodyOf, openApp, sender } from './sample-app.js'

const administrator = { 'x-api-key': ADMINISTRATOR_KEY }
const eventually = async (holds: () => Promise<boolean> | boolean, what: string): Promise<void> => { await poll(holds, what, 20_000) }

interface Heard { id: string | undefined, event: string | undefined, data: Event }

/** Listens until it is told to stop. */
async function listen (t: Test, app: FastifyInstance, query = '', headers: Record<string, string> = {}) {
  if (app.server.address() === null) await app.listen({ port: 0, host: '127.0.0.1' })
  const gone = new AbortController()
  const response = await fetch(`${app.listeningOrigin}/events${query}`, { headers, signal: gone.signal })
  const heard: Heard[] = []
  const reading = (async () => {
    for await (const field of eventMessages(response)) {
      const data = field('data')
      if (data !== undefined) heard.push({ id: field('id'), event: field('event'), data: JSON.parse(data) as Event })
    }
  })().catch((error: unknown) => { if (!gone.signal.aborted) throw error as Error })
  const stop = async (): Promise<void> => {
    gone.abort()
    await reading
  }
  t.teardown(stop)
  return { heard, stop, response, reading }
}

t.test('one process, without Redis', async (t) => {
  const app = await openApp(t, { DATA_DIR: temporaryFolder(t) })
  const send = sender(app)

  await t.test('every change of a resource is heard of, once, in order', async (t) => {
    const { heard, response, stop } = await listen(t, app)
    t.equal(response.headers.get('content-type'), 'text/event-stream')
    const item = bodyOf<{ id: string }>(await send('POST /items', { name: 'Alice' }))
    await send(`PUT /items/${item.id}`, { age: 30 })
    await send(`DELETE /items/${item.id}`)
    const { product } = bodyOf<{ product: { id: number } }>(await send('POST /products', { name: 'Salt', price: 1, category: 'Groceries' }))
    await send(`PUT /products/${product.id}`, { price: 2 })
    const { recipe } = bodyOf<{ recipe: { id: number } }>(await send('POST /recipes', { title: 'Brine', items: [{ product_id: product.id, quantity: 1 }] }, administrator))
    await send(`DELETE /recipes/${recipe.id}`, undefined, administrator)
    await send(`DELETE /products/${product.id}`)
    await send('PUT /api/users/1', { name: 'Bob' })
    await send('POST /api/posts/', { title: 'News' })
    const expected = ['item.created', 'item.updated', 'item.deleted', 'product.created', 'product.updated', 'recipe.created', 'recipe.deleted', 'product.deleted', 'user.updated', 'post.created']
    await eventually(() => heard.length >= expected.length, 'all events')
    t.strictSame(heard.map(({ data }) => data.type), expected)
    t.strictSame(heard.map(({ event, id }) => [event, id]), heard.map(({ data }) => [data.type, data.id]))
    t.match(heard[1]?.data, { specversion: '1.0', subject: `items/${item.id}`, data: { id: item.id, name: 'Alice', age: 30 } })
    t.match(heard[5]?.data, { subject: `recipes/${recipe.id}`, data: { title: 'Brine' } })
    await stop()

    const resumed = await listen(t, app, '', { 'last-event-id': heard[7]?.id ?? '' })
    await eventually(() => resumed.heard.length >= 2, 'what came after')
    t.strictSame(resumed.heard.map(({ data }) => data.type), ['user.updated', 'post.created'], 'Last-Event-ID goes on without a gap')
    await resumed.stop()

    await eventually(async () => (await send('GET /audit?action=recipe.created')).json<{ entries: unknown[] }>().entries.length === 1, 'the audit trail')
    t.match((await send('GET /audit?action=recipe.created')).json(), { entries: [{ kind: 'event', resource: `recipes/${recipe.id}`, count: 1 }] })
  })

  await t.test('what fails changes nothing and tells of nothing', async (t) => {
    const { heard } = await listen(t, app)
    await send('POST /recipes', { title: 'Half', items: [{ product_id: 2_000_000_000, quantity: 1 }] }, administrator)
    await send('DELETE /products/2000000000')
    await send('POST /api/posts/', { title: 'The last' })
    await eventually(() => heard.length > 0, 'the last')
    t.strictSame(heard.map(({ data }) => data.type), ['post.created'])
  })

  await t.test('a listener names the types that it wants, and is told of a gap', async (t) => {
    const { heard } = await listen(t, app, '?types=user.*,kitchen.opened', { 'last-event-id': '' })
    await send('POST /api/posts/', { title: 'Not this' })
    await send('PUT /api/users/1', { name: 'Carol' })
    t.match((await send('POST /events', { channel: 'kitchen', event: { type: 'opened', by: 'Alice' } })).json(), { type: 'kitchen.opened', subject: 'kitchen', data: { by: 'Alice' } })
    t.match((await send('POST /events', { channel: 'kitchen', event: { type: 'kitchen.closed' } })).json(), { type: 'kitchen.closed' }, 'the channel is said once')
    await send('POST /events', { channel: 'kitchen', event: { hello: 1 } })
    await eventually(() => heard.length >= 2, 'both')
    t.strictSame(heard.map(({ data }) => data.type), ['user.updated', 'kitchen.opened'])
    const gap = await listen(t, app, '', { 'last-event-id': '019c1f5e-8f4b-7c3e-9a51-2f6d1c0b7a44' })
    await eventually(() => gap.heard.length >= 1, 'the gap')
    t.equal(gap.heard[0]?.event, 'gap')
  })

  await t.test('what is published is checked', async (t) => {
    t.equal((await send('POST /events', { channel: 'recipe', event: { type: 'created' } })).statusCode, 422, 'nobody makes believe that a recipe was made')
    for (const body of [{}, { channel: 'kitchen' }, { channel: '', event: {} }, { channel: 'a b', event: {} }, { channel: 'kitchen', event: 'x' }]) {
      t.equal((await send('POST /events', body)).statusCode, 400, JSON.stringify(body))
    }
    t.equal((await send('GET /events/dead-letters')).json<{ dead_letters: unknown[] }>().dead_letters.length, 0)
    t.equal((await send('POST /events/dead-letters/1/retry')).statusCode, 404)
    t.equal((await send('DELETE /events/dead-letters/1')).statusCode, 404)
  })

  await t.test('a listener hears of what its credential may read alone', async (t) => {
    const token = async (scopes: string[]) => bodyOf<{ token: string }>(await send('POST /valet/token', { scopes })).token
    const listening = async (scopes: string[]) => (await listen(t, app, '', { authorization: `Bearer ${await token(scopes)}` })).heard
    const [all, some] = [await listening(['events:read', 'recipes:read', 'posts:read']), await listening(['events:read', 'posts:read'])]
    await send('POST /recipes', { title: 'Secret' }, administrator)
    await send('POST /api/posts/', { title: 'Open' })
    await eventually(() => all.length >= 2 && some.length >= 1, 'the last of them')
    t.strictSame(all.map(({ data }) => data.type), ['recipe.created', 'post.created'])
    t.strictSame(some.map(({ data }) => data.type), ['post.created'])
    t.equal((await send('GET /events', undefined, { authorization: `Bearer ${await token(['recipes:read'])}` })).statusCode, 403)
  })

  await t.test('a credential of some namespaces hears and tells of those alone', async (t) => {
    const keyOf = async (namespaces?: string[]) => {
      const { key } = bodyOf<{ key: string }>(await send('POST /keys', { name: 'tenant', scopes: ['events:read', 'events:write', 'posts:read'], ...(namespaces && { namespaces }) }))
      return { 'x-api-key': key }
    }
    const [one, other, all] = [await keyOf(['one']), await keyOf(['other', 'default']), await keyOf()]
    const listening = async (headers: Record<string, string>) => (await listen(t, app, '', headers)).heard
    const [byOne, byOther, byAll] = [await listening(one), await listening(other), await listening(all)]
    const publish = async (headers: Record<string, string>, namespace?: string) =>
      (await send('POST /events', { channel: 'kitchen', event: { type: 'opened' }, ...(namespace !== undefined && { namespace }) }, headers)).statusCode
    t.equal(await publish(one, 'one'), 201)
    t.strictSame([await publish(one), await publish(one, 'other'), await publish(other, 'one')], [403, 403, 403])
    t.equal(await publish(other, 'other'), 201)
    t.equal(await publish(other), 201)
    await send('POST /api/posts/', { title: 'For all who may read posts' })
    await eventually(() => byAll.length >= 4 && byOther.length >= 3 && byOne.length >= 2, 'the last of them')
    t.strictSame(byAll.map(({ data }) => data.subject.replace(/\d+$/, '1')), ['namespaces/one/kitchen', 'namespaces/other/kitchen', 'kitchen', 'posts/1'])
    t.strictSame(byOther.map(({ data }) => data.type), ['kitchen.opened', 'kitchen.opened', 'post.created'])
    t.strictSame(byOne.map(({ data }) => data.subject.replace(/\d+$/, '1')), ['namespaces/one/kitchen', 'posts/1'])
    t.equal(await publish(all, 'not a namespace'), 400)
  })

  await t.test('a stream ends when its credential is revoked, and no other does', async (t) => {
    const key = bodyOf<{ id: string, key: string }>(await send('POST /keys', { name: 'listener', scopes: ['events:read', 'config:read'] }))
    const valet = bodyOf<{ id: string, token: string }>(await send('POST /valet/token', { scopes: ['events:read'] }))
    const byKey = await listen(t, app, '', { 'x-api-key': key.key })
    const byValetKey = await listen(t, app, '', { authorization: `Bearer ${valet.token}` })
    const watching = await fetch(`${app.listeningOrigin}/config/watch`, { headers: { 'x-api-key': key.key } })
    const local = await listen(t, app)
    t.equal((await send(`DELETE /valet/tokens/${valet.id}`)).statusCode < 300, true)
    await byValetKey.reading
    await send('POST /events', { channel: 'kitchen', event: { hello: 1 } })
    await eventually(() => byKey.heard.length > 0, 'the other goes on')
    t.equal((await send(`DELETE /keys/${key.id}`)).statusCode < 300, true)
    await Promise.all([byKey.reading, watching.text()])
    await send('POST /events', { channel: 'kitchen', event: { hello: 2 } })
    await eventually(() => local.heard.length > 1, 'who needs none goes on')
    t.equal(byKey.heard.length, 1)
    t.equal(byValetKey.heard.length, 0)
  })

  await t.test('one caller has so many streams open, and others theirs', async (t) => {
    const { key } = bodyOf<{ key: string }>(await send('POST /keys', { name: 'listener', scopes: ['events:read'] }))
    const listening = await Promise.all(Array.from({ length: STREAMS_PER_CALLER }, async () => await listen(t, app, '', { 'x-api-key': key })))
    const refused = await send('GET /events', undefined, { 'x-api-key': key })
    t.equal(refused.statusCode, 429)
    t.match(refused.json(), { type: '/problems/too-many-requests', detail: /^There are 100 streams open for this caller/ })
    const other = await listen(t, app)
    t.equal(other.response.status, 200)
    t.match(await app.metrics.render(), /^larder_requests_under_way 0$/m, 'a stream that stays open is not under way')
    await send('POST /events', { channel: 'kitchen', event: { hello: 1 } })
    await eventually(() => [...listening, other].every(({ heard }) => heard.length === 1), 'all hear it')
    await listening[0]!.stop()
    await eventually(async () => {
      const { response, stop } = await listen(t, app, '', { 'x-api-key': key })
      await stop()
      return response.status === 200
    }, 'there is room for another')
    await Promise.all(listening.map(async ({ stop }) => { await stop() }))
  })

  await t.test('streams end when the service does', async (t) => {
    const { reading } = await listen(t, app)
    await app.close()
    await reading
    t.pass('and it does not wait for them')
  })
})

t.test('many who publish in one channel have one connection between them', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), WORKER: 'false' }
  const app = await openApp(t, env)
  const send = sender(app)
  const other = new pg.Client(env.DATABASE_URL)
  await other.connect()
  t.teardown(async () => { await other.end() })
  // In a transaction it would see who waits as it was at the first look.
  const watching = new pg.Client(env.DATABASE_URL)
  await watching.connect()
  t.teardown(async () => { await watching.end() })
  await other.query("BEGIN; INSERT INTO event_subjects (subject, sequence) VALUES ('kitchen', 7)")
  const publishing = Array.from({ length: 30 }, async () => await send('POST /events', { channel: 'kitchen', event: {} }))
  const locked = async () => (await watching.query("SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")).rowCount
  await eventually(async () => (await locked()) !== 0, 'one waits in the database')
  t.equal((await send('GET /items?nocache=true')).statusCode, 200, 'others go on')
  t.equal(await locked(), 1)
  await other.query('ROLLBACK')
  const published = await Promise.all(publishing)
  t.strictSame(published.map(({ statusCode }) => statusCode), publishing.map(() => 201))
  t.strictSame(published.map((reply) => bodyOf<Event>(reply).sequence), publishing.map((_, i) => i + 1), 'in the order in which they came')
})

t.test('two processes over Redis', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t) }
  const [one, other] = [await openApp(t, { ...env, DATA_DIR: temporaryFolder(t) }), await openApp(t, { ...env, DATA_DIR: temporaryFolder(t) })]
  const { heard } = await listen(t, other)
  const send = sender(one)
  const count = 30
  await Promise.all(Array.from({ length: count }, async (_, i) => await send('POST /api/posts/', { title: `Post ${i}` })))
  await eventually(() => heard.length >= count, 'what the other did')
  t.equal(new Set(heard.map(({ id }) => id)).size, count)
  const trail = async () => (await send('GET /audit?action=post.created')).json<{ entries: { count: number }[] }>().entries.length
  await eventually(async () => await trail() >= count, 'the audit trail')
  t.equal(await trail(), count, 'each once')

  await one.redis.flushall()
  for (let i = 0; i < count; i++) await send('POST /api/posts/', { title: `Post ${count + i}` })
  await eventually(async () => await trail() >= 2 * count, 'what came with a new stream')
  t.equal(await trail(), 2 * count)
})
