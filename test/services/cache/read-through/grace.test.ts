import t from 'tap'
import { mock } from 'node:test'
import { Gate, localCache, settled } from '../setup.js'

const failing = (message = 'origin away') => async (): Promise<never> => { throw new Error(message) }

t.test('within its grace a stale value serves while the origin is away, and the loader is left alone', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 10, grace: 100, graceBackoff: 5 }
  let loads = 0
  const load = async (): Promise<never> => {
    loads++
    throw new Error('origin away')
  }
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(12)
  const stale = await cache.read('k', load, options)
  t.strictSame([stale.status, stale.stored, stale.value, stale.ttl, stale.age], ['stale', true, 'old', -2, 12])
  for (let at = 0; at < 10; at++) t.equal((await cache.read('k', load, options)).status, 'stale')
  t.equal(loads, 1, 'left alone')
  await cache.read('k', load, { ...options, refresh: true })
  t.equal(loads, 2, 'but not by who goes past the cache')
  clock.advance(5)
  await cache.read('k', load, options)
  t.equal(loads, 3, 'tried again after the pause')
  clock.advance(5)
  t.equal(await cache.getOrSet('k', () => 'new', options), 'new')
  clock.advance(10 + 100)
  await t.rejects(cache.getOrSet('k', load, options), { message: 'origin away' }, 'past its grace it is gone')
  t.equal(cache.counters('app').stale, 13)
})

t.test('a fault that is an answer is not hidden by a stale value', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 10, grace: 100, graceOn: (error: unknown) => (error as Error).message !== 'there is none' }
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(11)
  t.equal((await cache.read('k', failing(), { ...options, graceBackoff: 0 })).status, 'stale')
  await t.rejects(cache.getOrSet('k', failing('there is none'), options), { message: 'there is none' })
})

t.test('after the soft limit a stale value is served, and the late result is kept', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 10, grace: 100, softTimeout: 10 }
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(11)
  const gate = new Gate<string>()
  const first = await cache.read('k', () => gate.promise, options)
  t.strictSame([first.status, first.value], ['stale', 'old'])
  t.equal((await cache.read('k', () => 'second load', options)).status, 'stale', 'it is still the only load')
  gate.open('new')
  await settled()
  t.equal((await cache.read('k', () => 'second load', options)).value, 'new')
  t.equal(cache.counters('app').loads, 2)

  clock.advance(11)
  const failure = new Gate<string>()
  t.equal((await cache.read('k', () => failure.promise, options)).value, 'new')
  failure.fail(new Error('late failure'))
  await settled()
  t.equal((await cache.read('k', () => 'too soon', options)).status, 'stale', 'a late failure leaves the loader alone as well')
  t.equal(await cache.getOrSet('none yet', () => settled().then(() => 'waited for'), options), 'waited for', 'without a stale value it does not apply')
})

t.test('after the hard limit callers are refused, and the load goes on as the only one', async (t) => {
  const { cache, clock } = localCache(t)
  const gate = new Gate<string>()
  const load = (): Promise<string> => gate.promise
  const error = { code: 'ERR_LOAD_TIMEOUT', statusCode: 504 }
  await t.rejects(cache.getOrSet('k', load, { timeout: 10 }), error)
  await t.rejects(cache.getOrSet('k', () => 'second load', { timeout: 10 }), error)
  const patient = cache.read('k', () => 'second load', { timeout: Infinity })
  await settled()
  gate.open('late')
  t.strictSame([(await patient).status, (await patient).value], ['coalesced', 'late'])
  t.equal((await cache.read('k', () => 'second load')).status, 'hit')
  t.equal(cache.counters('app').loads, 1)

  await cache.getOrSet('graced', () => 'old', { ttl: 10, grace: 100 })
  clock.advance(11)
  const hung = new Gate<string>()
  t.equal((await cache.read('graced', () => hung.promise, { timeout: 10 })).status, 'stale', 'a stale value stands in')
})

t.test('a load that hangs is given up in the end', async (t) => {
  const { cache, store } = localCache(t)
  mock.timers.enable({ apis: ['setTimeout'] })
  t.teardown(() => { mock.timers.reset() })
  const hung = new Gate<string>()
  const refused = t.rejects(cache.getOrSet('k', () => hung.promise, { timeout: 1000, tags: ['t'] }), { code: 'ERR_LOAD_TIMEOUT' })
  await settled()
  mock.timers.tick(1000)
  await refused
  const joined = t.rejects(cache.getOrSet('k', () => 'second load', { timeout: 1000 }))
  mock.timers.tick(1000)
  await joined
  mock.timers.tick(120_000)
  t.equal(await cache.getOrSet('k', () => 'loaded anew'), 'loaded anew')
  hung.open('long after')
  await settled()
  t.equal((await cache.get('app', 'k'))?.value, '"loaded anew"')
  await cache.outdate({ tags: ['t'] })
  await store.clean()
})

t.test('a fallback stands in where no stale value does, and is not kept', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 10, grace: 10, fallback: (error: unknown) => `instead of: ${(error as Error).message}` }
  const reading = await cache.read('k', failing(), options)
  t.strictSame([reading.status, reading.stored, reading.value], ['fallback', false, 'instead of: origin away'])
  t.equal(cache.get('app', 'k'), undefined)
  await t.rejects(cache.getOrSet('k', failing(), { ...options, graceOn: () => false }), { message: 'origin away' }, 'an answer is no fault')
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(11)
  t.equal((await cache.read('k', failing(), options)).value, 'old', 'a stale value is better')
  t.equal(await cache.getOrSet('slow', () => new Gate<string>().promise, { timeout: 10, fallback: () => 'in time' }), 'in time')
})

t.test('what never expires has its grace after a soft invalidation, and no more', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 0, grace: 10, tags: ['t'], graceBackoff: 0 }
  await cache.getOrSet('k', () => 'old', options)
  t.equal((await cache.read('k', failing(), options)).ttl, Infinity)
  clock.advance(1e6)
  await cache.outdate({ tags: ['t'], soft: true })
  const stale = await cache.read('k', failing(), options)
  t.strictSame([stale.status, stale.value], ['stale', 'old'])
  clock.advance(9)
  t.equal((await cache.read('k', failing(), options)).status, 'stale')
  clock.advance(2)
  await t.rejects(cache.read('k', failing(), options) as Promise<unknown>, { message: 'origin away' })
})
