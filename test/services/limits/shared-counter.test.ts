import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { Limiter } from '../../../services/limits/limiter.js'
import { Quota } from '../../../services/limits/quota.js'
import { parseRates } from '../../../services/limits/rates.js'
import { SharedCounter } from '../../../services/limits/shared-counter.js'
import { redisUrl, startRedisCluster } from '../../support/servers.js'
import { eventually } from '../../support/caches.js'

const url = await redisUrl(t)

/** As many processes as are asked for, each with its own memory of its callers. */
function processes (t: Test, count: number, rates: string, scope = '') {
  return Array.from({ length: count }, () => {
    const client = new Redis(url, { enableAutoPipelining: true, maxRetriesPerRequest: 1 })
    t.teardown(() => { client.disconnect() })
    const limiter = new Limiter()
    limiter.shared = new SharedCounter({ client, deadline: 5000 })
    const quota = new Quota(scope, parseRates(rates))
    return { client, limiter, quota, take: async (caller: string, cost = 1, refund = 0) => await limiter.take(quota, caller, cost, refund) }
  })
}

t.test('processes share a bucket, and take exactly what is in it', async (t) => {
  const all = processes(t, 3, '50/hour')
  const decisions = await Promise.all(Array.from({ length: 120 }, async (_, i) => await all[i % 3]!.take('a')))
  t.equal(decisions.filter(({ isAllowed }) => isAllowed).length, 50)
  t.equal(new Set(decisions.filter(({ isAllowed }) => isAllowed).map(({ remaining: [left] }) => left)).size, 50, 'each is told another number')
  for (const { retryAfter, violations, isPerProcess } of decisions.filter(({ isAllowed }) => !isAllowed)) {
    if (!(retryAfter > 60_000 && retryAfter <= 72_000) || violations[0] !== true || isPerProcess) t.fail(`${retryAfter}`)
  }
  t.match(await all[0]!.take('b'), { isAllowed: true, remaining: [49] })
})

t.test('of several policies all permit, or none is charged', async (t) => {
  const [one, other] = processes(t, 2, '3/minute, 5/hour', 'several') as [ReturnType<typeof processes>[0], ReturnType<typeof processes>[0]]
  t.match(await one.take('a', 2), { isAllowed: true, remaining: [1, 3] })
  t.match(await other.take('a', 2), { isAllowed: false, violations: [true, false], remaining: [1, 3] })
  t.match(await one.take('a', 1), { isAllowed: true, remaining: [0, 2] })
})

t.test('what is refused gives the first charge back', async (t) => {
  const [one, other] = processes(t, 2, '10/hour') as [ReturnType<typeof processes>[0], ReturnType<typeof processes>[0]]
  await one.take('c', 5)
  await one.take('c')
  t.match(await one.take('c', 7, 1), { isAllowed: false, remaining: [5] })
  t.match(await other.take('c', 5), { isAllowed: true, remaining: [0] })
})

t.test('a bucket that is full again leaves no key', async (t) => {
  const [one] = processes(t, 1, '20/second', 'brief') as [ReturnType<typeof processes>[0]]
  await one.take('d', 3)
  t.ok(await one.client.pttl('larder:limit:{d}:brief') > 0, 'a key goes by itself, whatever becomes of this process')
  await eventually(async () => await one.client.exists('larder:limit:{d}:brief') === 0, 'it is gone')
})

t.test('a Redis that lost everything gives nobody a new bucket where it is known what was used', async (t) => {
  const [one] = processes(t, 1, '5/hour', 'kept') as [ReturnType<typeof processes>[0]]
  t.match(await one.take('e', 3), { isAllowed: true })
  await one.client.flushall()
  t.match(await one.take('e', 1), { isAllowed: true, remaining: [1] })
  await one.take('e', 1)
  await one.client.flushall()
  t.match(await one.take('e', 1), { isAllowed: false })
})

t.test('who is known to have nothing left is refused without asking', async (t) => {
  const [one] = processes(t, 1, '2/hour', 'quiet') as [ReturnType<typeof processes>[0]]
  await one.take('f', 2)
  one.client.disconnect()
  const refused = one.limiter.take(one.quota, 'f', 1)
  t.notOk(refused instanceof Promise)
  t.match(refused, { isAllowed: false })
})

t.test('without an answer the limits hold here, from what was used before', async (t) => {
  const [one] = processes(t, 1, '5/hour', 'alone') as [ReturnType<typeof processes>[0]]
  await one.take('g', 3)
  one.client.disconnect()
  t.match(await one.take('g', 1), { isAllowed: true, remaining: [1], isPerProcess: true })
  t.match(await one.take('g', 1), { isAllowed: true, remaining: [0] })
  t.match(await one.take('g', 1), { isAllowed: false })
  t.match(await one.take('h', 6), { isAllowed: false }, 'never more than the quota')
})

t.test('a clock that was set back blocks nobody for longer than the window', async (t) => {
  const [one] = processes(t, 1, '2/minute', 'clock') as [ReturnType<typeof processes>[0]]
  await one.client.set('larder:limit:{i}:clock', `60000:${Date.now() + 3_600_000_000}`)
  const { isAllowed, retryAfter } = await one.take('i')
  t.equal(isAllowed, false)
  t.ok(retryAfter <= 30_000)
})

t.test('in a cluster each caller’s key is on its own server', async (t) => {
  const { Cluster } = await import('ioredis')
  const cluster = await startRedisCluster(t)
  const client = new Cluster(cluster.url.split(','), { enableAutoPipelining: true })
  t.teardown(() => { client.disconnect() })
  const limiter = new Limiter()
  limiter.shared = new SharedCounter({ client, deadline: 5000 })
  const quota = new Quota('GET /somewhere/:else', parseRates('2/minute, 100/hour'))
  const callers = Array.from({ length: 30 }, (_, i) => `caller-${i}`)
  const decisions = await Promise.all(callers.flatMap((caller) => [1, 2, 3].map(async () => await limiter.take(quota, caller, 1))))
  t.equal(decisions.filter(({ isAllowed }) => isAllowed).length, 60)
  t.notOk(decisions.some(({ isPerProcess }) => isPerProcess))
})

t.test('a bucket goes on under other rates, in every process, whichever it hears of them first', async (t) => {
  const [one, other] = processes(t, 2, '5/minute', 'changed') as [ReturnType<typeof processes>[0], ReturnType<typeof processes>[0]]
  t.match(await one.take('x', 5), { isAllowed: true, remaining: [0] })
  t.match(await one.take('y', 2), { isAllowed: true, remaining: [3] })
  const hourly = one.limiter.change(one.quota, parseRates('100/second, 10/hour'))
  t.match(await one.limiter.take(hourly, 'x', 1), { isAllowed: false, violations: [true, true] })
  t.match(await one.limiter.take(hourly, 'y', 2), { isAllowed: true, remaining: [58, 4] })
  t.match(await other.take('x'), { isAllowed: false }, 'where the old ones still hold')
  const later = other.limiter.change(other.quota, parseRates('10/hour'))
  t.match(await other.limiter.take(later, 'x', 1), { isAllowed: false })
  t.match(await other.limiter.take(later, 'y', 4), { isAllowed: true, remaining: [0] })
  t.match(await other.limiter.take(later, 'z', 1), { isAllowed: true, remaining: [9] }, 'who has used nothing has all')
})
