import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { ADMINISTRATOR_KEY, bodyOf, sender } from '../sample-app.js'

const STRONG = /^"[0-9a-f]{32}"$/

export default function conditions (t: Test, app: FastifyInstance): void {
  const send = sender(app)
  const key = { 'x-api-key': ADMINISTRATOR_KEY }
  const read = async (url: string, headers: Record<string, string> = {}) => await send(`GET ${url}`, undefined, { ...key, ...headers })
  const tagOf = async (url: string, headers: Record<string, string> = {}) => String((await read(url, headers)).headers.etag)
  const create = async (url: string, body: object) => String((await send(`POST ${url}`, body, key)).headers.location)
  const recipe = { title: 'Bread „Zürich” \u2028 "1/2"\\', items: [{ product_id: 1, quantity: 0.5 }] }

  /** What there is, and a change of it. */
  const resources: Record<string, { open: () => Promise<string>, change: (n: number) => object, isDeletable?: false }> = {
    item: { open: async () => await create('/items', { b: 'ü "\\ \u2028', 2: [1.5, -0, 1e21], 1: {} }), change: (n) => ({ n }) },
    product: { open: async () => await create('/products', { name: '„Ü” \u2028 "', price: 0.07, category: 'x' }), change: (n) => ({ stock_quantity: n }) },
    recipe: { open: async () => await create('/recipes', recipe), change: (n) => ({ title: `Bread ${n}` }) },
    user: { open: async () => '/api/users/2', change: (n) => ({ name: `„Ü” \u2028 "\\ 😀 ${n}` }), isDeletable: false }
  }

  for (const [name, { open, change, isDeletable = true }] of Object.entries(resources)) {
    t.test(`the ETag of the ${name} is that of its data: loaded, cached, or past the cache`, async (t) => {
      const url = await open()
      await app.cache.clear(app.cache.namespace)
      const etag = await tagOf(url)
      t.match(etag, STRONG)
      for (const headers of [{}, { 'cache-control': 'no-cache' }, { 'cache-control': 'no-store' }] as Record<string, string>[]) t.equal(await tagOf(url, headers), etag, JSON.stringify(headers))
      const head = await send(`HEAD ${url}`, undefined, key)
      t.strictSame([head.headers.etag, head.headers['cache-control']], [etag, 'no-cache'])
      const fetched = await read(url, { 'if-none-match': etag, 'cache-control': 'no-cache', pragma: 'no-cache' })
      t.strictSame([fetched.statusCode, fetched.headers.etag], [304, etag])
      t.match(fetched.headers['cache-status'], /fwd=bypass; stored/)
    })

    t.test(`a change of the ${name} under If-Match replaces what was read, and nothing else`, async (t) => {
      const url = await open()
      const put = async (n: number, headers: Record<string, string>) => (await send(`PUT ${url}`, change(n), { ...key, ...headers })).statusCode
      const etag = await tagOf(url)
      for (const headers of [{ 'if-match': '"other"' }, { 'if-match': `W/${etag}` }, { 'if-none-match': '*' }, { 'if-none-match': etag }] as Record<string, string>[]) {
        t.equal(await put(1, headers), 412, JSON.stringify(headers))
      }
      t.equal(await put(1, { 'if-match': 'unquoted' }), 400)
      t.equal(await tagOf(url), etag, 'nothing has changed')
      t.equal(await put(2, { 'if-match': `"other", ${etag}` }), 200)
      const refused = await send(`PUT ${url}`, change(3), { ...key, 'if-match': etag })
      t.match(refused.json(), { status: 412, type: /precondition-failed$/, detail: /has changed since it was read/ })
      t.equal(await put(4, { 'if-match': '*' }), 200)

      const before = await tagOf(url)
      const outcomes = await Promise.all(Array.from({ length: 8 }, async (_, n) => await put(10 + n, { 'if-match': before })))
      t.strictSame(outcomes.sort(), [200, ...Array<number>(7).fill(412)], 'of many at once one')
      const after = await tagOf(url)
      t.not(after, before)
      if (!isDeletable) return
      t.equal((await send(`DELETE ${url}`, undefined, { ...key, 'if-match': before })).statusCode, 412)
      t.equal((await send(`DELETE ${url}`, undefined, { ...key, 'if-match': after })).statusCode, 200)
      t.equal((await send(`PUT ${url}`, change(1), { ...key, 'if-match': '*' })).statusCode, 404)
    })
  }

  t.test('the products of a recipe change under its own ETag', async (t) => {
    const url = await create('/recipes', recipe)
    const etag = await tagOf(url)
    const add = async (match: string) => await send(`POST ${url}/products`, { product_id: 2, quantity: 1 }, { ...key, 'if-match': match })
    const remove = async (match: string) => (await send(`DELETE ${url}/products/2`, undefined, { ...key, 'if-match': match })).statusCode
    t.equal((await add('"other"')).statusCode, 412)
    t.equal((await add(etag)).statusCode, 201)
    t.equal(await remove(etag), 412)
    t.equal(await remove(await tagOf(url)), 200)
    t.strictSame(bodyOf<{ recipe: { items: unknown[] } }>(await read(url)).recipe.items.length, 1)
  })

  t.test('pages and lists have ETags too', async (t) => {
    for (const url of ['/items?limit=1', '/products?limit=2', '/recipes?limit=1', '/items', '/products', '/recipes', '/api/posts/', '/api/posts/?limit=1']) {
      const etag = await tagOf(url)
      t.match(etag, STRONG, url)
      const unchanged = await read(url, { 'if-none-match': etag })
      t.strictSame([unchanged.statusCode, unchanged.headers.etag, unchanged.headers['cache-control']], [304, etag, 'no-cache'], url)
      t.equal(unchanged.headers.age === undefined, /^\/(?!api).*limit/.test(url), url)
    }
  })
}
