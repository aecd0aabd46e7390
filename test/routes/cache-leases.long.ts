import t, { type Test } from 'tap'
import { eventually } from '../support/caches.js'
import { databaseUrl, memcachedUrl, redisUrl } from '../support/servers.js'
import { send, type Service, startService } from '../support/service.js'

interface Leased { found: boolean, stale?: boolean, lease?: { token: string, expires_in: number }, cache_item?: { value: unknown } }
interface Invalidated { deleted_count: number, stale_count: number }

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

  t.test('after a soft invalidation through the other one caller renews the entry, the others take the stale one', async (t) => {
    const post = async <T>(at: Service, path: string, body: object): Promise<T> => (await send<T>(`${at.url}/api/cache/${path}`, 'POST', { backend, ...body })).body
    const soften = async (at: Service) => await post<Invalidated>(at, 'invalidate', { tags: ['soft'], mode: 'soft' })
    const read = async (at: Service): Promise<Leased> => (await send<Leased>(`${at.url}/api/cache/get/soft?backend=${backend}`)).body
    const of = (value: string) => ({ key: 'soft', value, ttl: 600, grace: 60, metadata: { tags: ['soft'] } })
    for (const [round, [one, other]] of [[a, b], [b, a]].entries() as Iterable<[number, [Service, Service]]>) {
      const [old, renewed] = [`old ${round}`, `new ${round}`]
      await post(one, 'set', of(old))
      await eventually(async () => (await read(other)).cache_item?.value === old, 'the other has it')
      t.match(await soften(one), { deleted_count: 0, stale_count: 1 })
      t.match(await read(one), { found: false }, 'it holds here at once')
      await eventually(async () => !(await read(other)).found, 'and there soon')
      t.match(await soften(other), { deleted_count: 0, stale_count: 0 }, 'it is stale already')
      const answers = await Promise.all(Array.from({ length: 20 }, async (_, i) => await get(i % 2 === 0 ? one : other, 'soft', 30)))
      const leases = answers.flatMap(({ lease }) => lease === undefined ? [] : [lease.token])
      t.equal(leases.length, 1)
      t.equal(answers.filter(({ stale, cache_item: item }) => stale === true && item?.value === old).length, 19)
      if (round === 0) {
        await soften(other)
        t.equal((await send(`${one.url}/api/cache/set`, 'POST', { backend, ...of('too old'), lease: leases[0] })).status, 409, 'what was begun before it is not kept')
        t.match(await read(one), { found: false })
        continue
      }
      t.equal((await send(`${one.url}/api/cache/set`, 'POST', { backend, ...of(renewed), lease: leases[0] })).status, 200)
      for (const at of [a, b]) await eventually(async () => (await read(at)).cache_item?.value === renewed, 'both have the new one')
    }
  })

  t.test('one that was killed with a lease in its hands: another takes over when its time is over', async (t) => {
    const c = await startService(t, env)
    t.ok((await get(c, 'killed', 1)).lease)
    c.kill('SIGKILL')
    const began = performance.now()
    t.ok((await get(b, 'killed', 10)).lease)
    t.ok(performance.now() - began < 8000)
  })
}
