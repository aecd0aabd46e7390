import t from 'tap'
import type { FastifyInstance } from 'fastify'
import { eventually } from '../support/caches.js'
import { Cache } from '../../services/cache/cache.js'
import { monotonicNow } from '../../services/cache/clock.js'
import { DEFAULT_LIMITS } from '../../services/cache/limits.js'
import { LocalStore } from '../../services/cache/stores/local-store.js'
import { type Answer, Api, startApp } from './cache/api.js'
import { localCache } from '../services/cache/setup.js'

interface Leased { found: boolean, stale?: boolean, lease?: { token: string, expires_in: number }, cache_item?: { value: unknown } }

const app: FastifyInstance = await startApp(t)
const get = async (api: Api, key: string, lease: number): Promise<Answer & { leased: Leased }> => {
  const answer = await api.get(`/get/${encodeURIComponent(key)}`, { lease })
  return { ...answer, leased: answer.body as unknown as Leased }
}
const tokenIn = ({ leased }: { leased: Leased }): string => leased.lease?.token ?? ''
const took = async (work: Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work
  return performance.now() - began
}

for (const backend of ['memory', 'redis', 'database']) {
  t.test(`leases on ${backend}`, async (t) => {
    const api = new Api(app, backend)
    const set = async (key: string, value: unknown, more: object = {}): Promise<Answer> => await api.set(key, value, more)

    t.test('the first who misses gets the lease, the others wait for its value', async (t) => {
      const first = await get(api, 'k', 5)
      t.match(first, { status: 200, leased: { found: false, lease: { expires_in: 5 } } })
      t.match(first.headers['cache-status'], /fwd=miss/)
      const others = Array.from({ length: 20 }, async () => await get(api, 'k', 5))
      t.match(await set('k', { n: 1 }, { lease: tokenIn(first) }), { status: 200, body: { key: 'k' } })
      for (const other of await Promise.all(others)) t.match(other, { status: 200, leased: { found: true, cache_item: { value: { n: 1 } } } })
      t.match(await get(api, 'k', 5), { leased: { found: true } })
      t.match(await set('k', 2, { lease: tokenIn(first) }), { status: 409, body: { type: '/problems/lease-lost' } }, 'it fills once')
    })

    t.test('a set without a token answers those who wait, and voids the lease', async (t) => {
      const holder = await get(api, 'plain', 5)
      const other = get(api, 'plain', 5)
      await set('plain', 'by another')
      const { leased } = await other
      // Whoever asks in the middle of the write may be given a lease that is void at once.
      if (leased.lease === undefined) t.match(leased, { found: true, cache_item: { value: 'by another' } })
      t.equal((await set('plain', 'late', { lease: tokenIn(holder) })).status, 409)
      t.match((await get(api, 'plain', 5)).leased, { cache_item: { value: 'by another' } })
    })

    t.test('a deletion, an invalidation and the end of its time void the lease', async (t) => {
      const deleted = await get(api, 'deleted', 30)
      await api.delete('/delete/deleted')
      t.equal((await set('deleted', 'old', { lease: tokenIn(deleted) })).status, 409)
      const tagged = await get(api, 'tagged', 30)
      await api.post('/invalidate', { tags: ['t'] })
      t.equal((await set('tagged', 'old', { lease: tokenIn(tagged), metadata: { tags: ['t'] } })).status, 409)
      const matched = await get(api, 'matched', 30)
      await api.post('/invalidate', { pattern: 'match*' })
      const next = await get(api, 'matched', 30)
      t.ok(next.leased.lease, 'whoever comes after it gets a lease')
      t.equal((await set('matched', 'old', { lease: tokenIn(matched) })).status, 409)
      t.equal((await set('matched', 'new', { lease: tokenIn(next) })).status, 200)
      const short = await get(api, 'short', 0.05)
      await eventually(async () => (await get(api, 'short', 5)).leased.lease !== undefined, 'another gets it', 5000)
      t.equal((await set('short', 'late', { lease: tokenIn(short) })).status, 409)
      for (const key of ['deleted', 'tagged']) t.match((await api.get(`/get/${key}`)).body, { found: false })
    })

    t.test('who waits takes over when the lease runs out, or learns that its own time is over', async (t) => {
      await get(api, 'slow', 0.4)
      const impatient = get(api, 'slow', 0.1)
      const patient = get(api, 'slow', 5)
      t.match((await impatient).leased, { found: false, lease: undefined })
      const over = await patient
      t.match(over.leased, { found: false, lease: { expires_in: 5 } })
      t.equal((await set('slow', 1, { lease: tokenIn(over) })).status, 200)
    })

    t.test('the token is of this key in this namespace alone', async (t) => {
      const one = await get(api, 'one', 5)
      t.equal((await set('two', 1, { lease: tokenIn(one) })).status, 409)
      t.equal((await set('one', 1, { lease: 'guessed' })).status, 409)
      const elsewhere = new Api(app, backend)
      t.equal((await elsewhere.set('one', 1, { lease: tokenIn(one) })).status, 409)
      t.equal((await set('one', 1, { lease: tokenIn(one) })).status, 200)
    })
  })
}

t.test('what is asked for wrongly is refused', async (t) => {
  const api = new Api(app, 'memory')
  for (const lease of [0, 0.01, 61, -1]) t.equal((await api.get('/get/k', { lease })).status, 400)
  t.equal((await api.get('/get/k', { lease: 'x' })).status, 400)
  const { leased } = await get(api, 'k', 5)
  const conditional = await api.post('/set', { key: 'k', value: 1, lease: leased.lease?.token }, {}, { 'if-none-match': '*' })
  t.match(conditional, { status: 400 })
  const durable = await api.post('/set', { key: 'k', value: 1, lease: leased.lease?.token, strategy: 'write_through' })
  t.equal(durable.status, 422)
  const batch = await api.post('/set-batch', [{ key: 'k', value: 1, lease: leased.lease?.token }, { key: 'l', value: 1, lease: 'no' }])
  t.match(batch.body.results, [{ success: true }, { success: false, error: { status: 409 } }])
})

t.test('a stale value is taken instead of waiting', async (t) => {
  const { cache, clock } = localCache(t)
  await cache.set('app', 'k', { value: '1', dataType: 'number', ttl: 10, grace: 100 })
  clock.advance(11)
  t.match(await cache.getOrLease('app', 'k', 5000), { kind: 'lease' })
  const time = await took(cache.getOrLease('app', 'k', 5000).then((outcome) => { t.match(outcome, { kind: 'stale', entry: { value: '1' } }) }))
  t.ok(time < 2500)
  t.equal(cache.counters('app').stale, 1)
})

t.test('waiters are bounded, and those who have gone make room', async (t) => {
  const now = monotonicNow()
  const cache = new Cache({ store: new LocalStore({ now, limits: DEFAULT_LIMITS }), now, maxWaiters: 2 })
  t.teardown(async () => { await cache.close() })
  await cache.getOrLease('app', 'k', 5000)
  const gone = [new AbortController(), new AbortController()]
  const waiting = gone.map(async (caller) => await cache.getOrLease('app', 'k', 5000, caller))
  await t.rejects(cache.getOrLease('app', 'k', 5000), { code: 'ERR_TOO_MANY_WAITERS', statusCode: 503 })
  gone[0]!.abort()
  await t.rejects(waiting[0] as Promise<unknown>, { name: 'AbortError' })
  const next = cache.getOrLease('app', 'k', 5000)
  await cache.set('app', 'k', { value: '1', dataType: 'number' })
  t.match(await Promise.all([waiting[1], next]), [{ kind: 'found' }, { kind: 'found' }])
  t.equal(cache.counters('app').coalesced, 2)
})

t.test('a client that hangs up waits no more', async (t) => {
  const own = await startApp(t, { REDIS_URL: '' })
  const url = await own.listen({ host: '127.0.0.1', port: 0 })
  const cache = own.caches.get('memory')
  await fetch(`${url}/api/cache/get/k?lease=30`)
  const hanging = new AbortController()
  const waiting = fetch(`${url}/api/cache/get/k?lease=30`, { signal: hanging.signal })
  await eventually(() => cache.waiters === 1, 'it waits')
  hanging.abort()
  await t.rejects(waiting)
  await eventually(() => cache.waiters === 0, 'and waits no more')
})
