import { setImmediate as immediate } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { databaseUrl, redisUrl } from '../support/servers.js'
import { bodyOf, databases, openApp, sender } from './sample-app.js'
import cacheAside from './samples/cache-aside.js'
import conditions from './samples/conditions.js'
import items from './samples/items.js'
import posts from './samples/posts.js'
import products from './samples/products.js'
import recipes from './samples/recipes.js'
import users from './samples/users.js'

/** The one about the cache as a whole comes first: it counts from zero. */
const resources = { cacheAside, items, products, recipes, users, posts, conditions }

for (const [kind, environment] of Object.entries(databases)) {
  t.test(`on ${kind}`, async (t) => {
    const app = await openApp(t, await environment(t))
    for (const [name, test] of Object.entries(resources)) {
      await app.inject({ method: 'POST', url: '/cache/clear' })
      await t.test(name, async (t) => { test(t, app) })
    }
  })
}

t.test('the sample data enters a server once, and only when asked for', async (t) => {
  const url = await databaseUrl(t)
  const count = async () => {
    const client = new pg.Client(url)
    await client.connect()
    const { rows: [row] } = await client.query<{ n: number }>('SELECT count(*)::int AS n FROM products')
    await client.end()
    return row?.n
  }
  const start = async (settings: NodeJS.ProcessEnv) => {
    const app = await openApp(t, { DATABASE_URL: url, ...settings })
    return app
  }
  await (await start({ SAMPLE_DATA: 'false' })).close()
  t.equal(await count(), 0)
  await (await start({ SAMPLE_DATA: '' })).close()
  t.equal(await count(), 0)
  const app = await start({ SAMPLE_DATA: 'true' })
  t.equal(await count(), 8)
  await app.inject({ method: 'DELETE', url: '/products/1' })
  await app.close()
  await (await start({ SAMPLE_DATA: 'true' })).close()
  t.equal(await count(), 7)
})

t.test('what one process writes, another that has it cached answers', async (t) => {
  // Bytes that others read are not those that were written, with this format.
  const environment = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_SERIALIZATION_FORMAT: 'cbor' }
  const [one, other] = (await Promise.all([openApp(t, environment), openApp(t, environment)])).map(sender) as [Sender, Sender]
  const { id } = bodyOf<{ id: string }>(await one('POST /items', { age: 30 }))
  const changes: [read: string, write: string, body: object | undefined, expected: (body: string) => boolean][] = [
    [`GET /items/${id}`, `PUT /items/${id}`, { age: 31 }, (body) => body.includes('"age":31')],
    ['GET /items', `DELETE /items/${id}`, undefined, (body) => body.includes('"items":[]')],
    ['GET /products', 'PUT /products/1', { price: 5 }, (body) => body.includes('"price":5,')],
    ['GET /api/posts/', 'POST /api/posts/', { title: 'New Post A' }, (body) => body.includes('New Post A')],
    ['GET /api/users/1', 'PUT /api/users/1', { name: 'Updated' }, (body) => body.includes('Updated')]
  ]
  for (const [read, write, body, isNew] of changes) {
    for (const send of [one, other, other]) await send(read)
    t.match((await other(read)).headers['cache-status'], /^larder; hit/, read)
    t.ok((await one(write, body)).statusCode < 300)
    t.ok(isNew((await one(read)).body), `${read} at once where it was written`)
    while (!isNew((await other(read)).body)) await immediate()
    const { headers: { etag } } = await one(read)
    for (const [send, control] of [[other, 'max-age=600'], [other, 'no-cache'], [one, 'no-store']] as const) {
      t.equal((await send(read, undefined, { 'cache-control': control })).headers.etag, etag, `${read}: one ETag in all processes, ${control}`)
    }
  }
})

type Sender = ReturnType<typeof sender>
