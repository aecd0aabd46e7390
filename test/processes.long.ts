import t from 'tap'
import { eventually } from './support/caches.js'
import { databaseUrl, startRedis } from './support/servers.js'
import { send, type Service, startService } from './support/service.js'

interface ProductList { products: { id: number, name: string, price: number }[], source: string }
interface Found { found: boolean, cache_item?: { value: unknown, access_count: number } }

t.test('two processes on one PostgreSQL and one Redis', async (t) => {
  const redis = await startRedis(t)
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: redis.url, SAMPLE_DATA: 'true' }
  // At once, so that both want to migrate.
  const [a, b] = await Promise.all([startService(t, env), startService(t, env)])

  const products = async (at: Service): Promise<ProductList> => (await send<ProductList>(`${at.url}/products`)).body
  const cached = async (at: Service, key: string): Promise<unknown> =>
    (await send<Found>(`${at.url}/api/cache/get/${key}?backend=redis`)).body.cache_item?.value

  t.test('a product written through one is read through the other', async (t) => {
    const [first] = (await products(a)).products
    t.ok(first, 'there is sample data, once')
    t.equal((await products(b)).products.length, (await products(a)).products.length)
    for (let price = 1; price <= 25; price++) {
      const [writer, reader] = price % 2 === 0 ? [a, b] : [b, a]
      await products(reader)
      await send(`${writer.url}/products/${first!.id}`, 'PUT', { price })
      await eventually(async () => (await products(reader)).products.find(({ id }) => id === first!.id)?.price === price,
        'the reader has the new price', 5000)
      t.equal((await products(writer)).products.find(({ id }) => id === first!.id)?.price, price, 'the writer has it at once')
    }
  })

  t.test('an item updated through both at once is the same for both afterwards', async (t) => {
    const { body: { id } } = await send<{ id: string }>(`${a.url}/items`, 'POST', { n: 0 })
    for (let round = 0; round < 20; round++) {
      await Promise.all([a, b, a, b].map(async (at, i) => await send(`${at.url}/items/${id}`, 'PUT', { n: round * 10 + i })))
      const fresh = await send<{ item: { n: number } }>(`${a.url}/items/${id}?nocache=true`)
      await eventually(async () => {
        const both = await Promise.all([a, b].map(async (at) => (await send<{ item: { n: number } }>(`${at.url}/items/${id}`)).body.item.n))
        return both.every((n) => n === fresh.body.item.n)
      }, 'what is cached is what is stored', 5000)
    }
    t.pass('twenty times')
  })

  t.test('an entry of the API set through one is got, deleted and invalidated through the other', async (t) => {
    const set = async (): Promise<void> => {
      await send(`${a.url}/api/cache/set`, 'POST', { key: 'k', value: { n: 1 }, backend: 'redis', metadata: { tags: ['t'] } })
    }
    await set()
    t.strictSame(await cached(b, 'k'), { n: 1 })
    t.strictSame(await cached(a, 'k'), { n: 1 })
    await send(`${b.url}/api/cache/delete/k?backend=redis`, 'DELETE')
    await eventually(async () => await cached(a, 'k') === undefined, 'the deletion arrives', 5000)
    await set()
    t.strictSame(await cached(b, 'k'), { n: 1 })
    t.match((await send(`${a.url}/api/cache/invalidate`, 'POST', { tags: ['t'], backend: 'redis' })).body, { deleted_count: 1 })
    await eventually(async () => await cached(b, 'k') === undefined, 'the invalidation arrives', 5000)
    const sums = await Promise.all(Array.from({ length: 50 }, async (_, i) =>
      await send<{ value: number }>(`${i % 2 === 0 ? a.url : b.url}/api/cache/increment`, 'POST', { key: 'n', backend: 'redis' })))
    t.equal(new Set(sums.map(({ body }) => body.value)).size, 50, 'fifty concurrent increments answer fifty sums')
  })

  t.test('a setting changed through one holds in the other within a second', async () => {
    await send(`${a.url}/api/cache/config`, 'POST', { backend: 'memory', max_items: 4321 })
    await eventually(async () => {
      const { body } = await send<{ config: { max_items: number } }>(`${b.url}/api/cache/config?backend=memory`)
      return body.config.max_items === 4321
    }, 'B has the new limit', 5000)
  })

  t.test('hung Redis: samples answer from the database in time, the API says 503, and all is well again afterwards', async (t) => {
    redis.pause()
    for (let i = 0; i < 12; i++) {
      const began = Date.now()
      const { status } = await send(`${i % 2 === 0 ? a.url : b.url}/products`)
      t.equal(status, 200)
      t.ok(Date.now() - began < 5000, `answered in ${Date.now() - began} ms`)
    }
    const refused = await send(`${a.url}/api/cache/set`, 'POST', { key: 'k', value: 1, backend: 'redis' })
    t.equal(refused.status, 503)
    t.ok(refused.headers.get('retry-after'))
    const [first] = (await products(a)).products
    t.equal((await send(`${a.url}/products/${first!.id}`, 'PUT', { price: 77 })).status, 200, 'a write is made all the same')
    t.equal((await products(a)).products.find(({ id }) => id === first!.id)?.price, 77)
    redis.resume()
    await eventually(async () => (await products(b)).products.find(({ id }) => id === first!.id)?.price === 77, 'B has it too')
    await eventually(async () => (await products(a)).source === 'cache', 'A caches again')
  })

  t.test('each says of the other that they keep a cache of their own, until it has gone', async (t) => {
    const coherence = async (at: Service): Promise<unknown> => {
      const { body: { status, parts } } = await send<{ status: string, parts: Record<string, { status: string, required: boolean }> }>(`${at.url}/health/ready`)
      return [status, parts['coherence']?.status, parts['coherence']?.required]
    }
    for (const [at, other] of [[a, b], [b, a]] as const) {
      await eventually(async () => String(await coherence(at)) === 'ready,down,false', 'ready all the same', 10_000)
      const lines = at.log().split('\n').filter((line) => line.includes('each keeps a cache of its own'))
      t.equal(lines.length, 1)
      t.match(JSON.parse(lines[0]!), { level: 40, pid: other.pid, own: ['entries of the API (CACHE_BACKEND=memory)'] })
    }
    b.kill('SIGTERM')
    await b.ended
    await eventually(async () => String(await coherence(a)) === 'ready,up,false', 'A is alone', 30_000)
  })
})
