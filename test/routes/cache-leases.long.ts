import t, { type Test } from 'tap'
import { databaseUrl, memcachedUrl, redisUrl } from '../support/servers.js'
import { send, type Service, startService } from '../support/service.js'

interface Leased { found: boolean, lease?: { token: string, expires_in: number }, cache_item?: { value: unknown } }

t.test('leases of two services with one Redis', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), MEMCACHED_URL: await memcachedUrl(t), CACHE_DEADLINE: '1000' }
  const [a, b] = await Promise.all([startService(t, env), startService(t, env)])
  for (const backend of ['redis', 'database', 'memcached']) t.test(backend, async (t) => { await hold(t, backend, a, b, env) })
})

async function hold (t: Test, backend: string, a: Service, b: Service, env: Record<string, string>): Promise<void> {
  const get = async (at: Service, key: string, lease: number): Promise<Leased> =>
    (await send<Leased>(`${at.url}/api/cache/get/${key}?backend=${backend}&lease=${lease}`)).body
  const set = async (at: Service, key: string, value: unknown, lease?: string): Promise<number> =>
    (await send(`${at.url}/api/cache/set`, 'POST', { key, value, backend, lease })).status

  t.test('of 200 callers one computes, and may store through either', async (t) => {
    for (const [round, filler] of [a, b, a, b].entries()) {
      const key = `stampede-${round}`
      let computed = 0
      const compute = async ({ lease }: Leased): Promise<void> => {
        computed++
        t.equal(await set(filler, key, `round ${round}`, lease?.token), 200)
      }
      const answers = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
        const answer = await get(i % 2 === 0 ? a : b, key, 10)
        if (answer.lease !== undefined) await compute(answer)
        return answer
      }))
      t.equal(computed, 1)
      t.equal(answers.filter(({ cache_item: item }) => item?.value === `round ${round}`).length, 199)
    }
  })

  t.test('a deletion through the other voids the lease, a set through the other is the answer', async (t) => {
    const holder = await get(a, 'deleted', 30)
    await send(`${b.url}/api/cache/delete/deleted?backend=${backend}`, 'DELETE')
    t.equal(await set(a, 'deleted', 'old', holder.lease?.token), 409)
    await get(a, 'written', 30)
    const waiting = get(a, 'written', 30)
    t.equal(await set(b, 'written', 'through the other'), 200)
    t.match(await waiting, { cache_item: { value: 'through the other' } })
  })

  t.test('one that was killed with a lease in its hands: another takes over when its time is over', async (t) => {
    const c = await startService(t, env)
    t.ok((await get(c, 'killed', 1)).lease)
    c.kill('SIGKILL')
    const began = performance.now()
    t.ok((await get(b, 'killed', 10)).lease)
    t.ok(performance.now() - began < 3000)
  })
}
