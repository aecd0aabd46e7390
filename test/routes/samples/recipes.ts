import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { ADMINISTRATOR_KEY, bodyOf, sender } from '../sample-app.js'
import type { Product } from '../../../schemas/products.js'
import type { Recipe } from '../../../schemas/recipes.js'

type One = { recipe: Recipe, source: string, response_time: number }
type List = { recipes: Recipe[], source: string, next_cursor?: string }

const credential = { 'x-api-key': ADMINISTRATOR_KEY }

export default function recipes (t: Test, app: FastifyInstance): void {
  const plain = sender(app)
  const send = async (request: string, payload?: object) => await plain(request, payload, credential)
  const product = async (changes: object = {}) => bodyOf<{ product: Product }>(await plain('POST /products', { name: 'Yeast', price: 1.5, category: 'Groceries', ...changes })).product
  const create = async (body: object) => bodyOf<One>(await send('POST /recipes', { title: 'Bread', ...body })).recipe
  const all = async () => bodyOf<List>(await send('GET /recipes'))

  t.test('without a credential there is nothing to see or do, in development too', async (t) => {
    for (const request of ['GET /recipes', 'GET /recipes/1', 'DELETE /recipes/1', 'DELETE /recipes/1/products/1']) {
      t.equal((await plain(request)).statusCode, 401, request)
    }
    for (const request of ['POST /recipes', 'PUT /recipes/1', 'POST /recipes/1/products']) t.equal((await plain(request, { title: 'x' })).statusCode, 401, request)
  })

  t.test('a recipe is created with its products, read, changed and deleted, and every write drops the list', async (t) => {
    const [flour, yeast] = [await product({ name: 'Flour', unit: 'kg' }), await product()]
    const created = await send('POST /recipes', { title: 'Bread', instructions: 'Knead.', items: [{ product_id: yeast.id, quantity: 0.021 }, { product_id: flour.id, quantity: 1 }] })
    t.equal(created.statusCode, 201)
    const { recipe, source } = bodyOf<One>(created)
    t.equal(source, 'database')
    t.equal(created.headers.location, `/recipes/${recipe.id}`)
    t.strictSame(recipe.items, [{ product_id: yeast.id, quantity: 0.021, product: yeast }, { product_id: flour.id, quantity: 1, product: flour }], 'in the order given')

    const read = async () => bodyOf<One>(await send(`GET /recipes/${recipe.id}`))
    t.match(await read(), { recipe, source: 'database' })
    t.match(await read(), { recipe, source: 'cache' })
    t.strictSame((await all()).recipes.at(-1), recipe)
    t.equal((await all()).source, 'cache')

    const changed = bodyOf<One>(await send(`PUT /recipes/${recipe.id}`, { title: 'Rye bread', items: [{ product_id: flour.id, quantity: 2 }] })).recipe
    t.match(changed, { title: 'Rye bread', instructions: 'Knead.', items: [{ product_id: flour.id, quantity: 2 }] })
    t.equal(changed.items.length, 1)
    t.match(await read(), { recipe: changed, source: 'database' })
    t.equal((await all()).source, 'database')

    const added = await send(`POST /recipes/${recipe.id}/products`, { product_id: yeast.id, quantity: 3 })
    t.equal(added.statusCode, 201)
    t.strictSame(bodyOf<One>(added).recipe.items.map(({ product_id: id }) => id), [flour.id, yeast.id])
    t.equal((await send(`POST /recipes/${recipe.id}/products`, { product_id: yeast.id, quantity: 1 })).statusCode, 409)
    t.equal((await send(`DELETE /recipes/${recipe.id}/products/${flour.id}`)).json<One>().recipe.items.length, 1)
    t.equal((await send(`DELETE /recipes/${recipe.id}/products/${flour.id}`)).statusCode, 404)

    t.match((await send(`DELETE /recipes/${recipe.id}`)).json(), { message: 'Recipe deleted successfully', source: 'database' })
    for (const [request, body] of [['GET', undefined], ['PUT', { title: 'x' }], ['DELETE', undefined]] as const) {
      t.equal((await send(`${request} /recipes/${recipe.id}`, body)).statusCode, 404, request)
    }
    t.equal((await send(`POST /recipes/${recipe.id}/products`, { product_id: yeast.id, quantity: 1 })).statusCode, 404)
    t.notOk((await all()).recipes.some(({ id }) => id === recipe.id))
  })

  t.test('a product that there is not is 422, and nothing of the recipe is stored', async (t) => {
    const before = (await all()).recipes.length
    const { id } = await product()
    const items = [{ product_id: id, quantity: 1 }, { product_id: 2_000_000_000, quantity: 1 }]
    const refused = await send('POST /recipes', { title: 'Half', items })
    t.equal(refused.statusCode, 422)
    t.match(refused.json(), { type: '/problems/unknown-product', detail: /no product 2000000000/ })
    t.equal(bodyOf<List>(await send('GET /recipes?nocache=true')).recipes.length, before)

    const recipe = await create({ items: [{ product_id: id, quantity: 1 }] })
    t.equal((await send(`PUT /recipes/${recipe.id}`, { title: 'Other', items })).statusCode, 422)
    t.equal((await send(`POST /recipes/${recipe.id}/products`, { product_id: 2_000_000_000, quantity: 1 })).statusCode, 422)
    t.strictSame(bodyOf<One>(await send(`GET /recipes/${recipe.id}?nocache=true`)).recipe, recipe)
  })

  t.test('a product that a recipe uses is not deleted, and its changes show in the recipe at once', async (t) => {
    const { id } = await product({ price: 2 })
    const recipe = await create({ items: [{ product_id: id, quantity: 1.5 }] })
    await send(`GET /recipes/${recipe.id}`)
    await all()
    t.match((await plain(`DELETE /products/${id}`)).json(), { status: 409, detail: new RegExp(`^Recipes use the product ${id}`) })
    await plain(`PUT /products/${id}`, { price: 2.5 })
    t.equal(bodyOf<One>(await send(`GET /recipes/${recipe.id}`)).recipe.items[0]?.product.price, 2.5)
    t.equal((await all()).recipes.at(-1)?.items[0]?.product.price, 2.5)
    await send(`DELETE /recipes/${recipe.id}`)
    t.equal((await plain(`DELETE /products/${id}`)).statusCode, 200)
  })

  t.test('what is no recipe is refused', async (t) => {
    const { id } = await product()
    const cases: object[] = [
      {}, { title: '' }, { title: 'x', items: {} }, { title: 'x', items: [{ product_id: id }] }, { title: 'x', items: [{ product_id: id, quantity: 0 }] },
      { title: 'x', items: [{ product_id: id, quantity: 0.0001 }] }, { title: 'x', items: [{ product_id: id, quantity: 1 }, { product_id: id, quantity: 2 }] },
      { title: 'x', items: [{ product_id: `${id}`, quantity: 1 }] }, { title: 'x', colour: 'red' }, { title: 'x'.repeat(256) }
    ]
    for (const body of cases) t.equal((await send('POST /recipes', body)).statusCode, 400, JSON.stringify(body).slice(0, 80))
  })

  t.test('a list is paged by cursor', async (t) => {
    for (let i = 0; i < 3; i++) await create({ title: `Recipe ${i}` })
    const expected = (await all()).recipes.map(({ id }) => id)
    const seen: number[] = []
    for (let cursor = ''; ;) {
      const page = bodyOf<List>(await send(`GET /recipes?limit=2${cursor}`))
      seen.push(...page.recipes.map(({ id }) => id))
      if (page.next_cursor === undefined) break
      cursor = `&cursor=${page.next_cursor}`
    }
    t.strictSame(seen, expected)
  })
}
