import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { bodyOf, sender } from '../sample-app.js'
import type { Product } from '../../../schemas/products.js'

type One = { product: Product, source: string, response_time: number }
type List = { products: Product[], source: string, response_time: number, next_cursor?: string }

const sample = { name: 'Sample Product', description: 'A sample product', price: 29.99, category: 'Electronics', stock_quantity: 100 }

export default function products (t: Test, app: FastifyInstance): void {
  const send = sender(app)
  const create = async (changes: object) => bodyOf<One>(await send('POST /products', { ...sample, ...changes })).product

  t.test('the sample products are there, from the database first and then from the cache', async (t) => {
    const first = bodyOf<List>(await send('GET /products'))
    t.match(first.products[0], { id: 1, ...sample, unit: null })
    t.equal(first.source, 'database')
    const second = bodyOf<List>(await send('GET /products/'))
    t.equal(second.source, 'cache')
    t.strictSame(second.products, first.products)
    for (const { response_time: seconds } of [first, second]) t.ok(seconds >= 0 && seconds < 5)
    t.notOk('next_cursor' in first)
  })

  t.test('a product is created, read, changed in part and deleted, and every write drops the list', async (t) => {
    await send('GET /products')
    const created = await send('POST /products', sample)
    t.equal(created.statusCode, 201)
    const { product, source } = bodyOf<One>(created)
    t.match(product, { ...sample, unit: null })
    t.equal(source, 'database')
    t.equal(product.created_at, new Date(product.created_at).toISOString())
    t.equal(created.headers.location, `/products/${product.id}`)
    t.match((await send('GET /products')).json(), { source: 'database' })

    const read = async () => bodyOf<One>(await send(`GET /products/${product.id}`))
    t.equal((await read()).source, 'database')
    t.match(await read(), { product, source: 'cache' })

    const changed = bodyOf<One>(await send(`PUT /products/${product.id}`, { price: 19.5, description: null, unit: 'kg' })).product
    t.match(changed, { ...sample, price: 19.5, description: null, unit: 'kg', created_at: product.created_at })
    t.ok(changed.updated_at > product.updated_at)
    t.match(await read(), { product: changed, source: 'database' })
    t.match((await send('GET /products')).json(), { source: 'database' })
    t.equal((await send(`PUT /products/${product.id}`, {})).statusCode, 200)

    await send('GET /products')
    const deleted = await send(`DELETE /products/${product.id}`)
    t.match(deleted.json(), { message: 'Product deleted successfully', source: 'database' })
    t.equal(typeof deleted.json<One>().response_time, 'number')
    for (const request of [`GET /products/${product.id}`, `DELETE /products/${product.id}`]) t.equal((await send(request)).statusCode, 404)
    t.equal((await send(`PUT /products/${product.id}`, { price: 1 })).statusCode, 404)
    t.match((await send('GET /products')).json(), { source: 'database' })
  })

  t.test('prices are exact to the cent', async (t) => {
    for (const price of [0.01, 0.07, 0.1, 0.29, 1.005e1, 19.99, 29.99, 4503599.63, 9_999_999_999.99, 1, 1e9]) {
      const { id } = await create({ price })
      const response = await send(`GET /products/${id}`)
      t.equal(bodyOf<One>(response).product.price, price)
      t.match(response.body, `"price":${price},`)
    }
    for (const price of [0, -1, 0.001, 29.999, 0.1 + 0.2, 1e-7, 1e10, 1e300, '29.99', null]) {
      const response = await send('POST /products', { ...sample, price })
      t.equal(response.statusCode, 400, String(price))
      t.match(bodyOf(response)['detail'], /price/)
    }
  })

  t.test('a body that is not a product is refused, naming the field', async (t) => {
    const wrong: [field: string, body: object][] = [
      ['name', { ...sample, name: '' }], ['name', { ...sample, name: 'x'.repeat(256) }], ['name', { ...sample, name: 'a\0b' }],
      ['name', { ...sample, name: '\uD800' }], ['name', { ...sample, name: 1 }], ['category', { ...sample, category: 'x'.repeat(101) }],
      ['stock_quantity', { ...sample, stock_quantity: -1 }], ['stock_quantity', { ...sample, stock_quantity: 1.5 }],
      ['stock_quantity', { ...sample, stock_quantity: 2 ** 31 }], ['colour', { ...sample, colour: 'red' }], ['id', { ...sample, id: 7 }],
      ['description', { ...sample, description: 'a\0b' }], ['price', { name: 'x', category: 'y' }]
    ]
    for (const [field, body] of wrong) {
      const response = await send('POST /products', body)
      t.equal(response.statusCode, 400, JSON.stringify(body).slice(0, 100))
      t.match(response.body, field)
    }
    t.equal((await send('PUT /products/1', { price: null })).statusCode, 400)
    t.equal(bodyOf<One>(await send('POST /products', { name: '😀'.repeat(255), price: 1, category: 'x' })).product.stock_quantity, 0)
  })

  t.test('an id that no product has is 404, and one that is no number 400', async (t) => {
    for (const id of ['999999', '2147483648', '9007199254740991']) t.equal((await send(`GET /products/${id}`)).statusCode, 404, id)
    for (const id of ['x', '0', '-1', '1.5', '1e400', '%00']) t.equal((await send(`GET /products/${id}`)).statusCode, 400, id)
  })

  t.test('pages follow each other by cursor', async (t) => {
    const all = bodyOf<List>(await send('GET /products?nocache=true')).products
    const first = bodyOf<List>(await send('GET /products?limit=3'))
    t.strictSame(first.products, all.slice(0, 3))
    t.equal(first.source, 'database')
    const second = bodyOf<List>(await send(`GET /products?limit=1000&cursor=${first.next_cursor}`))
    t.strictSame(second.products, all.slice(3))
    t.notOk('next_cursor' in second)
  })
}
