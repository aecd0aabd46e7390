import type { FastifyInstance } from 'fastify'
import SQL from '@nearform/sql'
import t from 'tap'
import { bodyOf, databases, openApp, sender, ADMINISTRATOR_KEY } from '../routes/sample-app.js'

const ADMINISTRATOR = { 'x-api-key': ADMINISTRATOR_KEY }
const keyed = (key: string, headers: Record<string, string> = {}) => ({ 'idempotency-key': key, ...headers })
const count = async (app: FastifyInstance, table: string): Promise<number> =>
  Number((await app.database.query<{ n: string }>(`SELECT count(*) AS n FROM ${table}`)).rows[0]?.n)

for (const [name, environment] of Object.entries(databases)) {
  t.test(`requests with an Idempotency-Key, over ${name}`, async (t) => {
    const app = await openApp(t, await environment(t))
    const send = sender(app)

    t.test('what is sent again is done once, and gets the first answer', async (t) => {
      const requests: [request: string, body: object, table: string][] = [
        ['POST /items', { name: 'A' }, 'items'],
        ['POST /products', { name: 'Flour', price: 1.5, category: 'baking' }, 'products'],
        ['POST /recipes', { title: 'Bread', items: [{ product_id: 1, quantity: 2 }] }, 'recipes'],
        ['POST /api/posts/', { title: 'News' }, 'posts'],
        ['POST /events', { channel: 'talk', event: { type: 'said', words: 'Hello' } }, 'events'],
        ['POST /keys', { name: 'k', scopes: ['items:read'] }, 'api_keys'],
        ['POST /valet/token', { scopes: ['items:read'] }, 'valet_tokens']
      ]
      for (const [request, body, table] of requests) {
        const before = await count(app, table)
        const first = await send(request, body, keyed('"one"', ADMINISTRATOR))
        t.equal(first.statusCode, 201, request)
        t.equal(first.headers['idempotency-replayed'], undefined)
        const again = await send(request, body, keyed('"one"', { ...ADMINISTRATOR, 'x-request-id': 'again' }))
        t.equal(again.statusCode, 201)
        t.equal(again.headers['idempotency-replayed'], 'true')
        t.equal(again.headers['x-request-id'], 'again')
        t.equal(again.body, first.body, `${request} answers the same`)
        for (const header of ['location', 'content-type', 'cache-control', 'etag']) t.equal(again.headers[header], first.headers[header], header)
        t.equal(await count(app, table), before + 1, `${request} is done once`)
      }
    })

    t.test('the order of members means nothing, anything else does', async (t) => {
      t.equal((await send('POST /items', { a: 1, b: [1, 2] }, keyed('order'))).statusCode, 201)
      t.equal((await send('POST /items', { b: [1, 2], a: 1 }, keyed('"order"'))).headers['idempotency-replayed'], 'true')
      for (const other of [{ a: 1, b: [2, 1] }, { a: 1 }, { a: '1', b: [1, 2] }]) {
        const refused = await send('POST /items', other, keyed('order'))
        t.equal(refused.statusCode, 422)
        t.match(bodyOf(refused), { type: '/problems/idempotency-key-reused', detail: /take a new key/ })
      }
      t.equal((await send('POST /api/cache/clear?pattern=a*', undefined, keyed('query'))).statusCode, 200)
      t.equal((await send('POST /api/cache/clear?pattern=b*', undefined, keyed('query'))).statusCode, 422)
      t.equal((await send('POST /api/cache/set', { key: 'c', value: 1 }, keyed('condition', { 'if-none-match': '*' }))).statusCode, 200)
      t.equal((await send('POST /api/cache/set', { key: 'c', value: 1 }, keyed('condition'))).statusCode, 422)
    })

    t.test('a key is one for each caller and each route', async (t) => {
      const one = bodyOf<{ key: string }>(await send('POST /keys', { name: 'one', scopes: ['items:*'] }, ADMINISTRATOR)).key
      const bodies = new Set<string>()
      for (const headers of [{}, ADMINISTRATOR, { 'x-api-key': one }]) bodies.add((await send('POST /items', { n: 1 }, keyed('mine', headers))).body)
      t.equal(bodies.size, 3, 'three items')
      t.equal((await send('POST /api/cache/set', { key: 'mine', value: 1 }, keyed('mine'))).headers['idempotency-replayed'], undefined)
      const recipe = bodyOf<{ recipe: { id: number } }>(await send('POST /recipes', { title: 'Soup' }, ADMINISTRATOR)).recipe.id
      t.equal((await send(`POST /recipes/${recipe}/products`, { product_id: 2, quantity: 1 }, keyed('mine', ADMINISTRATOR))).statusCode, 201)
      t.equal((await send('POST /recipes/999999/products', { product_id: 2, quantity: 1 }, keyed('mine', ADMINISTRATOR))).statusCode, 404)
    })

    t.test('a malformed key is refused', async (t) => {
      for (const key of ['', '""', 'two words', '"open', 'a"b"', '"é"', `"${'x'.repeat(256)}"`, '"a", "b"', '"a";p=1', '"\\n"']) {
        const refused = await send('POST /items', { a: 1 }, keyed(key))
        t.equal(refused.statusCode, 400, key)
        t.match(bodyOf(refused), { type: '/problems/malformed-request', detail: /Idempotency-Key/ })
      }
      t.equal((await send('POST /items', { a: 1 }, keyed(`"${'x'.repeat(254)}\\""`))).statusCode, 201)
    })

    t.test('what has no effect is told again as well, but for what may be different the next time', async (t) => {
      const missing = await send('POST /recipes', { title: 'x', items: [{ product_id: 4242, quantity: 1 }] }, keyed('missing', ADMINISTRATOR))
      t.equal(missing.statusCode, 422)
      const again = await send('POST /recipes', { title: 'x', items: [{ product_id: 4242, quantity: 1 }] }, keyed('missing', ADMINISTRATOR))
      t.equal(again.headers['idempotency-replayed'], 'true')
      t.equal(again.body, missing.body)
      t.equal(again.headers['content-type'], missing.headers['content-type'])
      t.equal((await send('POST /products', { name: '' }, keyed('invalid'))).statusCode, 400)
      t.equal((await send('POST /products', { name: 'n', price: 1, category: 'c' }, keyed('invalid'))).statusCode, 201, 'what does not validate uses no key')
      t.equal((await send('POST /api/cache/set', { key: 'k'.repeat(2000), value: 1 }, keyed('refused'))).statusCode, 400)
      t.equal((await send('POST /api/cache/set', { key: 'k', value: 1 }, keyed('refused'))).statusCode, 200, 'nor does what the operation refuses')
      t.equal((await send('POST /api/cache/set', { key: 'r', value: 1, backend: 'redis' }, keyed('down'))).statusCode, 503)
      t.equal((await send('POST /api/cache/set', { key: 'r', value: 1, backend: 'redis' }, keyed('down'))).headers['idempotency-replayed'], undefined)
    })

    t.test('a counter is incremented once', async (t) => {
      const first = await send('POST /api/cache/increment', { key: 'n' }, keyed('count'))
      t.match(bodyOf(first), { value: 1 })
      const again = await send('POST /api/cache/increment', { key: 'n' }, keyed('count'))
      t.equal(again.body, first.body)
      t.equal(again.headers.etag, first.headers.etag)
      t.match(bodyOf(await send('POST /api/cache/increment', { key: 'n' })), { value: 2 })
    })

    t.test('secrets are kept sealed, and the keys of requests not at all', async (t) => {
      const { key } = bodyOf<{ key: string }>(await send('POST /keys', { name: 'sealed', scopes: ['items:read'] }, keyed('a-secret', ADMINISTRATOR)))
      const { rows } = await app.database.query<{ text: string }>("SELECT row_to_json(row)::text || encode(coalesce(body, ''), 'escape') AS text FROM idempotency_keys row")
      t.ok(rows.length > 0)
      for (const { text } of rows) t.notOk([key, 'a-secret'].some((secret) => text.includes(secret)))
    })

    t.test('what only reads keeps nothing under a key', async (t) => {
      const before = await count(app, 'idempotency_keys')
      for (let i = 0; i < 2; i++) {
        const read = await send('POST /api/cache/get-batch', ['n'], keyed('read'))
        t.equal(read.statusCode, 200)
        t.equal(read.headers['idempotency-replayed'], undefined)
      }
      t.equal(await count(app, 'idempotency_keys'), before)
    })

    t.test('an import says that it takes none', async (t) => {
      const refused = await send('POST /api/cache/import', {}, keyed('import'))
      t.equal(refused.statusCode, 422)
      t.match(bodyOf(refused), { detail: /takes no Idempotency-Key/ })
    })

    t.test('settings are rolled back once', async (t) => {
      for (const value of [11, 12, 13]) await send('PUT /config/samples.items.list_ttl', { value }, { 'if-match': '*' })
      const first = await send('POST /config/samples.items.list_ttl/rollback', undefined, keyed('back'))
      t.match(bodyOf(first), { value: 12 })
      const again = await send('POST /config/samples.items.list_ttl/rollback', undefined, keyed('back'))
      t.equal(again.headers['idempotency-replayed'], 'true')
      t.equal(again.body, first.body)
      t.equal(again.headers.etag, first.headers.etag)
      t.equal((await send('POST /api/cache/config', { default_ttl: 77 }, keyed('limits'))).body, (await send('POST /api/cache/config', { default_ttl: 77 }, keyed('limits'))).body)
    })

    t.test('a use of a valet key is counted once', async (t) => {
      const { token } = bodyOf<{ token: string }>(await send('POST /valet/token', { scopes: ['items:write'], max_uses: 1 }, ADMINISTRATOR))
      const headers = keyed('once', { authorization: `Bearer ${token}` })
      t.equal((await send('POST /items', { a: 1 }, headers)).statusCode, 201)
      t.equal((await send('POST /items', { a: 1 }, headers)).headers['idempotency-replayed'], 'true')
      t.equal((await send('POST /items', { a: 1 }, keyed('twice', { authorization: `Bearer ${token}` }))).statusCode, 401)
    })

    t.test('while the first is carried out, others wait; what was left by a process that ended is taken over', async (t) => {
      const payload = { slow: true }
      const all = await Promise.all(Array.from({ length: 20 }, () => send('POST /items', payload, keyed('parallel'))))
      const created = all.filter(({ statusCode }) => statusCode === 201)
      t.ok(created.length >= 1)
      t.equal(new Set(created.map(({ body }) => body)).size, 1, 'one item')
      for (const other of all.filter(({ statusCode }) => statusCode !== 201)) {
        t.equal(other.statusCode, 409)
        t.equal(other.headers['retry-after'], '1')
      }
      // As a process leaves it that ended in the middle: nothing but a lease.
      const abandon = async (left: string): Promise<unknown> => await app.database.query(SQL`
        UPDATE idempotency_keys SET applied = false, status = NULL, headers = NULL, body = NULL, leased_until = now() + ${left}::interval
        WHERE id = (SELECT id FROM idempotency_keys ORDER BY expires_at DESC LIMIT 1)`)
      await send('POST /items', payload, keyed('abandoned'))
      await abandon('1 minute')
      t.equal((await send('POST /items', payload, keyed('abandoned'))).statusCode, 409)
      await abandon('-1 second')
      t.equal((await send('POST /items', { other: 1 }, keyed('abandoned'))).statusCode, 422)
      t.equal((await send('POST /items', payload, keyed('abandoned'))).headers['idempotency-replayed'], undefined)
      t.equal((await send('POST /items', payload, keyed('abandoned'))).headers['idempotency-replayed'], 'true')
      await send('POST /api/cache/increment', { key: 'm' }, keyed('unknown'))
      await abandon('-1 second')
      t.match(bodyOf(await send('POST /api/cache/increment', { key: 'm' }, keyed('unknown'))), { status: 409, type: '/problems/outcome-unknown' })
    })

    t.test('what nobody has asked for in a day is forgotten', async (t) => {
      await send('POST /items', { a: 1 }, keyed('old'))
      await app.database.query("UPDATE idempotency_keys SET expires_at = now() - interval '1 second'")
      t.equal((await send('POST /items', { a: 2 }, keyed('old'))).statusCode, 201, 'the key is free')
    })

    t.test('a repetition is no second act', async (t) => {
      for (let i = 0; i < 2; i++) await send('POST /keys', { name: 'audited', scopes: ['items:read'] }, keyed('audited', ADMINISTRATOR))
      await app.audit.flush()
      const { entries } = bodyOf<{ entries: { reason?: string | null }[] }>(await send('GET /audit?action=key.issue&limit=2', undefined, ADMINISTRATOR))
      t.match(entries[0]?.reason, /Idempotency-Key: nothing was done/)
      t.notOk(entries[1]?.reason)
      t.match((await send('GET /metrics')).body, /larder_idempotency_keys_total\{outcome="replayed"\} \d/)
    })

    t.test('every POST that changes something takes the header, and says so', async (t) => {
      interface Operation { operationId: string, parameters?: { $ref?: string }[], responses: Record<string, { headers?: object }> }
      const { paths } = bodyOf<{ paths: Record<string, Record<string, Operation>> }>(await send('GET /openapi.json'))
      const posts = Object.values(paths).flatMap(({ post, patch }) => [post, patch].filter((one) => one !== undefined))
      t.ok(posts.length > 15)
      for (const { operationId, parameters = [], responses } of posts) {
        if (operationId === 'importCache') continue
        if (operationId === 'getCacheEntries') {
          t.strictSame(parameters.filter(({ $ref }) => $ref !== undefined), [], 'what only reads takes none')
          continue
        }
        if (operationId === 'openBreaker' || operationId === 'closeBreaker') {
          t.strictSame(parameters.filter(({ $ref }) => $ref?.endsWith('/IdempotencyKey')), [], 'what has to work without PostgreSQL takes none')
          continue
        }
        t.ok(parameters.some(({ $ref }) => $ref === '#/components/parameters/IdempotencyKey'), operationId)
        t.ok(responses[409] && responses[422], `${operationId} documents what comes of it`)
      }
    })
  })
}
