import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { bodyOf, sender } from '../sample-app.js'

type Item = { id: string, [field: string]: unknown }
type Items = { cached: boolean, items: Item[], next_cursor?: string }
type One = { cached: boolean, item: Item }

export default function items (t: Test, app: FastifyInstance): void {
  const send = sender(app)
  const create = async (fields: object) => bodyOf<Item>(await send('POST /items', fields))
  const read = async (id: string) => bodyOf<One>(await send(`GET /items/${id}`))

  t.test('an item is created with an id, primed, read, updated and deleted', async (t) => {
    const created = await send('POST /items', { name: 'Alice', age: 30 })
    t.equal(created.statusCode, 201)
    const { id, ...fields } = bodyOf<Item>(created)
    t.match(id, /^[0-9a-f-]{36}$/)
    t.strictSame(fields, { name: 'Alice', age: 30 })
    t.equal(created.headers.location, `/items/${id}`)
    t.strictSame(await read(id), { cached: true, item: { id, name: 'Alice', age: 30 } })

    const updated = await send(`PUT /items/${id}`, { age: 31, city: null })
    t.equal(updated.statusCode, 200)
    t.strictSame(updated.json(), { id, name: 'Alice', age: 31, city: null })
    t.strictSame(await read(id), { cached: true, item: { id, name: 'Alice', age: 31, city: null } })
    t.strictSame((await send(`GET /items/${id}?nocache=true`)).json(), { cached: false, item: { id, name: 'Alice', age: 31, city: null } })

    const deleted = await send(`DELETE /items/${id}`)
    t.equal(deleted.statusCode, 200)
    t.strictSame(deleted.json(), { ok: true })
    for (const request of [`GET /items/${id}`, `DELETE /items/${id}`]) t.equal((await send(request)).statusCode, 404)
    t.equal((await send(`PUT /items/${id}`, { age: 1 })).statusCode, 404)
  })

  t.test('the list is cached until an item changes', async (t) => {
    const list = async () => bodyOf<Items>(await send('GET /items'))
    const { id } = await create({ n: 1 })
    const first = await list()
    t.equal(first.cached, false)
    t.strictSame(first.items.at(-1), { id, n: 1 })
    t.strictSame(await list(), { ...first, cached: true })
    await send(`PUT /items/${id}`, { n: 2 })
    t.match(await list(), { cached: false, items: [{ id, n: 2 }] })
    await send(`DELETE /items/${id}`)
    t.notOk((await list()).items.some((item) => item.id === id))
  })

  t.test('an id in a body is refused, or must be the one in the path', async (t) => {
    const refused = await send('POST /items', { id: 'x', name: 'Alice' })
    t.equal(refused.statusCode, 400)
    t.match(refused.json(), { type: '/problems/invalid-input', detail: /id/ })
    const { id } = await create({ n: 1 })
    t.equal((await send(`PUT /items/${id}`, { id: 'another' })).statusCode, 400)
    t.strictSame((await send(`PUT /items/${id}`, { id, n: 2 })).json(), { id, n: 2 })
    t.strictSame((await send(`PUT /items/${id.toUpperCase()}`, { n: 3 })).json(), { id, n: 3 })
    t.strictSame(await read(id.toUpperCase()), { cached: true, item: { id, n: 3 } })
  })

  t.test('what is no UUID is the id of no item', async (t) => {
    for (const id of ['1', 'x%00y', '00000000-0000-0000-0000-000000000000', "'%20OR%201=1", 'a'.repeat(200)]) {
      const response = await send(`GET /items/${id}`)
      t.equal(response.statusCode, 404, id)
      t.match(response.headers['content-type'], /problem\+json/)
    }
  })

  t.test('every JSON object comes back as it was sent', async (t) => {
    const nested = { a: [{ b: [[], {}, null, false, 0, -0.5, 1e300, ''] }] }
    const hostile = [
      '{}',
      '{"z":1,"a":2,"":3," ":4}',
      '{"nul":"a\\u0000b","\\u0000":1}',
      '{"high":"\\ud83d","low":"\\ude00","swapped":"\\ude00\\ud83d","\\udc00":1,"pair":"\\ud83d\\ude00"}',
      '{"text":"ä€😀\\u2028\\u2029\\ufeff\\uffff","quote":"\\"\\\\/\\b\\f\\n\\r\\t"}',
      '{"constructor":1,"toString":{"valueOf":2},"hasOwnProperty":null,"cached":"yes","item":[],"next_cursor":"x"}',
      '{"sql":"\'; DROP TABLE items; --","template":"$1","html":"</script>"}',
      JSON.stringify(nested),
      JSON.stringify({ long: 'ü'.repeat(100_000), list: Array.from({ length: 5000 }, (_, n) => n) })
    ]
    for (const text of hostile) {
      const created = await app.inject({ method: 'POST', url: '/items', headers: { 'content-type': 'application/json' }, payload: text })
      t.equal(created.statusCode, 201, text.slice(0, 80))
      const { id, ...fields } = bodyOf<Item>(created)
      const sent = JSON.parse(text) as object
      t.equal(JSON.stringify(fields), JSON.stringify(sent))
      // From the cache, from the database, and after an update, which writes it anew.
      for (const request of [`GET /items/${id}`, `GET /items/${id}?nocache=true`]) {
        const { id: _, ...item } = bodyOf<One>(await send(request)).item
        t.equal(JSON.stringify(item), JSON.stringify(sent))
      }
      t.strictSame((await send(`PUT /items/${id}`, { more: 1 })).json(), { id, ...sent, more: 1 })
    }
    t.equal((await send('GET /items?nocache=true')).statusCode, 200)
  })

  t.test('a number that JSON text cannot carry is refused, and not stored as null', async (t) => {
    const { id } = await create({ a: 1 })
    for (const [method, url] of [['POST', '/items'], ['PUT', `/items/${id}`]] as const) {
      const refused = await app.inject({ method, url, headers: { 'content-type': 'application/json' }, payload: '{"a":{"b":[1e400]}}' })
      t.equal(refused.statusCode, 400)
      t.match(refused.json(), { detail: /number outside the range of a double/ })
    }
    t.strictSame((await read(id)).item, { id, a: 1 })
  })

  t.test('anything but an object is refused', async (t) => {
    for (const payload of ['[]', '"x"', '1', 'null', '{"__proto__":{"x":1}}', '{']) {
      const response = await app.inject({ method: 'POST', url: '/items', headers: { 'content-type': 'application/json' }, payload })
      t.equal(response.statusCode, 400, payload)
    }
  })

  t.test('an item does not grow past a mebibyte', async (t) => {
    const { id } = await create({ a: 'x'.repeat(600_000) })
    const response = await send(`PUT /items/${id}`, { b: 'x'.repeat(600_000) })
    t.equal(response.statusCode, 422)
    t.strictSame(Object.keys((await read(id)).item), ['id', 'a'])
    await send(`DELETE /items/${id}`)
  })

  t.test('pages follow each other by cursor, and are read past the cache', async (t) => {
    for (const item of bodyOf<Items>(await send('GET /items?nocache=true')).items) await send(`DELETE /items/${item.id}`)
    const ids: string[] = []
    for (let n = 0; n < 5; n++) ids.push((await create({ n })).id)
    const seen: string[] = []
    let url: string | undefined = '/items?limit=2'
    while (url !== undefined) {
      const response = await send(`GET ${url}`)
      t.equal(response.headers['cache-status'], 'larder; fwd=bypass')
      const page: Items = bodyOf<Items>(response)
      t.equal(page.cached, false)
      t.ok(page.items.length <= 2)
      seen.push(...page.items.map(({ id }) => id))
      url = /^<(.+)>; rel="next"$/.exec(String(response.headers.link))?.[1]
      t.equal(url !== undefined, page.next_cursor !== undefined)
    }
    t.strictSame(seen, ids)
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'cursor=!', 'cursor=YQ', 'cursor=', 'unknown=1', 'nocache=perhaps']) {
      t.equal((await send(`GET /items?${query}`)).statusCode, 400, query)
    }
  })

  t.test('a list that is too long for one answer says how to go on, also from the cache', async (t) => {
    const items = Array.from({ length: 12 }, (_, n) => ({ n, text: 'x'.repeat(900_000) }))
    for (const item of items) await create(item)
    const first = await send('GET /items')
    const { next_cursor: next, items: some } = bodyOf<Items>(first)
    t.ok(next !== undefined && some.length > 0)
    t.equal(first.headers.link, `</items?cursor=${next}>; rel="next"`)
    const again = await send('GET /items')
    t.match(again.headers['cache-status'], /^larder; hit/)
    t.equal(again.headers.link, first.headers.link)
    const rest = bodyOf<Items>(await send(`GET /items?cursor=${next}`)).items
    t.strictSame(rest.at(-1)?.['n'], 11)
  })

  t.test('concurrent updates all take effect, and the last one is what is cached', async (t) => {
    const { id } = await create({})
    await Promise.all(Array.from({ length: 20 }, async (_, n) => {
      t.equal((await send(`PUT /items/${id}`, { [`field${n}`]: n })).statusCode, 200)
      await send(`GET /items/${id}`)
    }))
    const cached = await read(id)
    t.equal(Object.keys(cached.item).length, 21)
    t.strictSame(cached.item, bodyOf<One>(await send(`GET /items/${id}?nocache=true`)).item)
  })
}
