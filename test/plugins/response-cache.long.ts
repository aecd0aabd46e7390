import t from 'tap'
import { eventually } from '../support/caches.js'
import { databaseUrl, startRedis } from '../support/servers.js'
import { send, startService } from '../support/service.js'

interface UserReply { user: { name: string } }
interface PostsReply { posts: string[] }

t.test('the routes of two services with one Redis', async (t) => {
  const redis = await startRedis(t)
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: redis.url, SAMPLE_DATA: 'true' }
  const a = await startService(t, env)
  const b = await startService(t, env)
  const services = [a, b]
  const user = async (at: typeof a, query = '') => await send<UserReply>(`${at.url}/api/users/1${query}`)
  const rename = async (at: typeof a, name: string) => (await send(`${at.url}/api/users/1`, 'PUT', { name })).status
  const loads = async (): Promise<number> => {
    const texts = await Promise.all(services.map(async ({ url }) => await (await fetch(`${url}/metrics`)).text()))
    return texts.reduce((sum, text) => sum + Number(/^larder_cache_loads_total\{backend="app"\} (\d+)/m.exec(text)?.[1]), 0)
  }

  await t.test('of 200 at once, one runs the route', async (t) => {
    for (let round = 0; round < 3; round++) {
      t.equal(await rename(services[round % 2]!, `Round ${round}`), 200)
      // Until the other has heard of it, it may have the old one.
      await eventually(async () => (await Promise.all(services.map(async (at) => (await user(at)).body.user.name))).every((name) => name === `Round ${round}`), 'both have it')
      await send(`${a.url}/api/invalidate/GET:/api/users/1`, 'DELETE')
      await eventually(async () => (await fetch(`${b.url}/api/users/1`, { headers: { 'cache-control': 'only-if-cached' } })).status === 504, 'the other has heard of it')
      const before = await loads()
      const answers = await Promise.all(Array.from({ length: 200 }, async (_, n) => await user(services[n % 2]!)))
      t.ok(answers.every(({ status, body }) => status === 200 && body.user.name === `Round ${round}`))
      t.equal(await loads() - before, 1)
    }
  })

  await t.test('who writes reads it at once, the other soon after, whatever was asked for', async (t) => {
    for (let round = 0; round < 10; round++) {
      const [writer, reader] = round % 2 === 0 ? [a, b] : [b, a]
      const pages = ['/api/posts/', '/api/posts?limit=1000', '/api/posts/?limit=999']
      for (const at of services) for (const page of pages) await send(at.url + page)
      const title = `Post ${round}`
      t.equal((await send(`${writer.url}/api/posts/`, 'POST', { title })).status, 201)
      for (const page of pages) {
        t.ok((await send<PostsReply>(writer.url + page)).body.posts.includes(title), `${page} where it was written`)
        await eventually(async () => (await send<PostsReply>(reader.url + page)).body.posts.includes(title), page)
      }
    }
  })

  await t.test('while Redis says nothing, every request is answered and no old answer is believed in', async (t) => {
    await user(a)
    await user(b)
    redis.pause()
    const asked = performance.now()
    const answers = await Promise.all(Array.from({ length: 50 }, async (_, n) => await user(services[n % 2]!)))
    t.ok(answers.every(({ status }) => status === 200))
    t.ok(performance.now() - asked < 10_000, 'bounded')
    await eventually(async () => (await user(a)).headers.get('cache-status') === 'larder; fwd=bypass; key="GET:/api/users/1"; detail="backend-down"', 'past the cache', 10_000)
    t.equal(await rename(a, 'While it was away'), 200)
    t.equal((await user(a)).body.user.name, 'While it was away')
    await eventually(async () => (await user(b)).body.user.name === 'While it was away', 'the other goes past the cache, too', 5000)
    redis.resume()
    await eventually(async () => /hit/.test(String((await user(a)).headers.get('cache-status'))) && /hit/.test(String((await user(b)).headers.get('cache-status'))), 'cached again', 20_000)
    for (const at of services) t.equal((await user(at)).body.user.name, 'While it was away')
  })
})
