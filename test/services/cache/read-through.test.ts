import t from 'tap'
import { mock } from 'node:test'
import { Cache } from '../../../services/cache/cache.js'
import { DEFAULT_LIMITS } from '../../../services/cache/limits.js'
import { Reading } from '../../../services/cache/reading.js'
import { LocalStore } from '../../../services/cache/stores/local-store.js'
import { Gate, localCache, ManualClock, settled } from './setup.js'

const isPromise = (value: unknown): boolean => value instanceof Promise
const failing = (message = 'origin away') => async (): Promise<never> => { throw new Error(message) }

t.test('ten thousand callers share one load', async (t) => {
  const { cache } = localCache(t)
  const gate = new Gate<{ list: number[] }>()
  let loads = 0
  const load = (): Promise<{ list: number[] }> => {
    loads++
    return gate.promise
  }
  const read = async (): Promise<Reading<{ list: number[] }>> => await cache.read('k', load)
  const waiting = Array.from({ length: 5000 }, read)
  await settled()
  waiting.push(...Array.from({ length: 5000 }, read))
  gate.open({ list: [1] })
  const readings = await Promise.all(waiting)
  t.equal(loads, 1)
  t.strictSame(readings.map(({ status }) => status).sort().filter((status, at, all) => status !== all[at - 1]), ['coalesced', 'miss'])
  t.equal(readings.filter(({ status }) => status === 'miss').length, 1)
  const { value } = readings[0] as Reading<{ list: number[] }>
  value.list.push(2)
  for (const reading of readings.slice(1, 10)) t.strictSame(reading.value, { list: [1] }, 'each has a copy of its own')
  t.strictSame(await cache.getOrSet('k', load), { list: [1] }, 'and so has the cache')
  const { hits, misses, coalesced, loads: counted } = cache.counters('app')
  t.strictSame({ hits, misses, coalesced, counted }, { hits: 1, misses: 1, coalesced: 9999, counted: 1 })
})

t.test('a failing load fails all who wait for it, and is not kept', async (t) => {
  const { cache } = localCache(t)
  let loads = 0
  const load = async (): Promise<string> => {
    loads++
    await settled()
    throw new Error('origin away')
  }
  const outcomes = await Promise.allSettled(Array.from({ length: 100 }, () => cache.getOrSet('k', load)))
  t.equal(loads, 1)
  t.ok(outcomes.every((outcome) => outcome.status === 'rejected' && String(outcome.reason) === 'Error: origin away'))
  t.equal(await cache.getOrSet('k', () => 'well again'), 'well again')
  await t.rejects(cache.getOrSet('sync', () => { throw new Error('at once') }), { message: 'at once' })
  await t.rejects(cache.getOrSet('bigint', () => 1n), TypeError, 'what JSON cannot hold is a failure of the loader')
  t.equal(cache.counters('app').loadFailures, 3)
})

t.test('a hit is answered without a promise', async (t) => {
  const { cache } = localCache(t)
  const miss = cache.read('k', () => [1])
  t.ok(isPromise(miss))
  await miss
  const hit = cache.read('k', () => [2])
  t.notOk(isPromise(hit))
  const reading = hit as Reading<number[]>
  t.ok(reading instanceof Reading)
  t.strictSame([reading.status, reading.stored, reading.encoded, reading.value], ['hit', true, '[1]', [1]])
  t.not(reading.value, reading.value, 'each look at the value is a fresh copy')
  t.equal(reading.version, (await miss).version)
})

t.test('falsy values and null are values, undefined is null', async (t) => {
  const { cache } = localCache(t)
  for (const value of [null, false, 0, '', [], {}]) {
    const key = JSON.stringify(value)
    t.strictSame(await cache.getOrSet(key, () => value), value)
    t.strictSame(await cache.getOrSet<unknown>(key, () => 'loaded again'), value, key)
  }
  t.equal(await cache.getOrSet('undefined', () => undefined), null)
  t.equal(await cache.getOrSet<unknown>('undefined', () => 'loaded again'), null)
})

t.test('the time to live: none, fractions of a second, sixty days', async (t) => {
  const { cache, clock } = localCache(t, { defaultTtl: 7 })
  let loads = 0
  const load = (): number => ++loads
  for (const [ttl, seconds] of [[0.05, 0.05], [60 * 24 * 3600, 60 * 24 * 3600], [undefined, 7], [1e9, 1e9]] as const) {
    const key = String(ttl)
    const { ttl: left, age, createdAt, expiresAt } = await cache.read(key, load, { ttl })
    t.same([left, age, expiresAt - createdAt].map(Math.round), [seconds, 0, seconds * 1000].map(Math.round), key)
    clock.at += seconds * 1000 - 1
    t.equal((await cache.read(key, load, { ttl })).status, 'hit', `${key}: a millisecond before its end`)
    clock.at += 1
    t.equal((await cache.read(key, load, { ttl })).status, 'miss', `${key}: at its end`)
  }
  const forever = await cache.read('0', load, { ttl: 0, grace: 5 })
  t.equal(forever.ttl, Infinity)
  clock.advance(1e10)
  t.equal((await cache.read('0', load, { ttl: 0 })).status, 'hit')
  t.equal((await cache.read('0', load)).age, 1e10)
})

t.test('the time to live and the tags may come from the value', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: ({ lives }: { lives: number }) => lives, tags: ({ id }: { id: string }) => [`item:${id}`] }
  t.equal((await cache.read('a', () => ({ lives: 5, id: '1' }), options)).ttl, 5)
  t.strictSame((await cache.get('app', 'a'))?.tags, ['item:1'])
  await cache.outdate({ tags: ['item:1'] })
  t.equal(cache.get('app', 'a'), undefined)
  await cache.getOrSet('a', () => ({ lives: -1, id: '1' }), options)
  t.equal(cache.get('app', 'a'), undefined, 'less than nothing is nothing')
  clock.advance(1)
})

t.test('jitter shortens a time to live by at most its fraction', async (t) => {
  const { cache } = localCache(t)
  const lives: number[] = []
  for (let at = 0; at < 500; at++) lives.push((await cache.read(`k${at}`, () => at, { ttl: 100, jitter: 0.2 })).ttl)
  t.ok(Math.min(...lives) >= 80 && Math.max(...lives) <= 100)
  t.ok(Math.max(...lives) - Math.min(...lives) > 10, 'and differs')
  t.equal((await cache.read('forever', () => 1, { ttl: 0, jitter: 0.5 })).ttl, Infinity)
})

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

t.test('going past the cache loads and stores, and an older load does not overwrite the newer', async (t) => {
  const { cache } = localCache(t)
  await cache.getOrSet('k', () => 'old')
  const fresh = await cache.read('k', () => 'new', { refresh: true })
  t.strictSame([fresh.status, fresh.stored, fresh.value], ['bypass', true, 'new'])
  t.equal(await cache.getOrSet('k', () => 'newer'), 'new')

  const slow = new Gate<string>()
  const older = cache.read('k', () => slow.promise, { refresh: true })
  await settled()
  const joined = cache.read('k', () => 'second load', { refresh: true })
  await cache.forget('k')
  t.equal((await cache.read('k', () => 'newest', { refresh: true })).value, 'newest', 'a load from before a change is not joined')
  slow.open('older')
  t.strictSame([(await older).value, (await older).stored], ['older', false])
  t.strictSame([(await joined).status, (await joined).value], ['bypass', 'older'], 'one load for all who go past the cache')
  t.equal(await cache.getOrSet('k', () => 'newer'), 'newest')
  t.equal(cache.counters('app').coalesced, 1)
  t.equal((await cache.read('k', failing(), { refresh: true })).value, 'newest', 'what is there serves when the origin is away')
})

t.test('a hit late in its life is refreshed in the background, once', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 100, refreshAfter: 0.8, graceBackoff: 5 }
  const gate = new Gate<string>()
  let loads = 0
  const load = (): Promise<string> => {
    loads++
    return gate.promise
  }
  await cache.getOrSet('k', () => 'old', options)
  clock.advance(80)
  t.notOk(isPromise(cache.read('k', load, options)))
  t.equal(loads, 0, 'not before its time')
  clock.advance(1)
  for (let at = 0; at < 100; at++) {
    const reading = cache.read('k', load, options)
    t.notOk(isPromise(reading))
    t.equal((reading as Reading<string>).value, 'old')
  }
  await settled()
  gate.open('new')
  await settled()
  t.equal(loads, 1)
  t.equal((cache.read('k', load, options) as Reading<string>).value, 'new')
  t.equal((cache.read('k', load, options) as Reading<string>).ttl, 100)

  clock.advance(90)
  let failures = 0
  const fail = async (): Promise<never> => {
    failures++
    throw new Error('origin away')
  }
  for (let at = 0; at < 5; at++) {
    t.equal((cache.read('k', fail, options) as Reading<string>).value, 'new')
    await settled()
  }
  t.equal(failures, 1, 'after a failure the loader is left alone')
  clock.advance(5)
  t.notOk(isPromise(cache.read('k', fail, options)))
  await settled()
  t.equal(failures, 2)
})

t.test('an update keeps the new value, a failed one drops the old', async (t) => {
  const { cache } = localCache(t)
  await cache.getOrSet('k', () => 'old')
  t.equal(await cache.update('k', async () => 'changed', { tags: ['t'] }), 'changed')
  t.strictSame([(await cache.get('app', 'k'))?.value, (await cache.get('app', 'k'))?.tags], ['"changed"', ['t']])
  await t.rejects(cache.update('k', failing()), { message: 'origin away' })
  t.equal(cache.get('app', 'k'), undefined)

  const [first, second] = [new Gate<string>(), new Gate<string>()]
  const updates = [cache.update('k', () => first.promise), cache.update('k', () => second.promise)]
  await settled()
  second.open('second')
  await updates[1]
  first.open('first')
  t.strictSame(await Promise.all(updates), ['first', 'second'])
  t.equal(cache.get('app', 'k'), undefined, 'of two at once nobody knows which came last')
})

t.test('what is too large to keep is answered all the same', async (t) => {
  const { cache } = localCache(t, { maxMemory: 1000 })
  const large = 'x'.repeat(2000)
  const reading = await cache.read('k', () => large)
  t.strictSame([reading.stored, reading.value], [false, large])
  await cache.getOrSet('u', () => 'small')
  t.equal(await cache.update('u', async () => large), large)
  t.equal(cache.get('app', 'u'), undefined, 'and the old value is not kept in its place')
})

t.test('a graceOn that throws in the background is told as a fault, and ends nothing', async (t) => {
  const faults: unknown[] = []
  const clock = new ManualClock()
  const store = new LocalStore({ now: clock.now, limits: DEFAULT_LIMITS })
  const cache = new Cache({ store, now: clock.now, onFault: (fault) => { faults.push(fault) } })
  t.teardown(async () => { await cache.close() })
  await cache.getOrSet('k', () => 'kept', { ttl: 100 })
  clock.advance(50)
  const fault = new Error('a mistake')
  const value = await cache.getOrSet('k', () => { throw new Error('down') }, { ttl: 100, refreshAfter: 0.1, graceOn: () => { throw fault } })
  t.equal(value, 'kept')
  await settled()
  t.same(faults, [fault])
})

t.test('XFetch: the nearer the end and the longer the load, the likelier a hit loads in the background', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 100, beta: 1 }
  let loads = 0
  const slow = async (): Promise<string> => {
    loads++
    clock.advance(10)
    return 'x'
  }
  const early = async (left: number): Promise<number> => {
    loads = 0
    for (let at = 0; at < 300; at++) {
      const key = `${left}:${at}`
      const { expiresAt } = await cache.read(key, slow, options)
      clock.at = expiresAt - left * 1000
      t.equal((cache.read(key, slow, options) as Reading<string>).status, 'hit')
      await settled()
    }
    loads -= 300
    return loads
  }
  // The chance is e^(-left / load time).
  const far = await early(60)
  const near = await early(2)
  t.ok(far < 30, `${far} of 300 at six load times before the end`)
  t.ok(near > 180, `${near} of 300 at a fifth of one`)
  loads = 0
  await cache.getOrSet('quick', () => 'x', options)
  clock.advance(99.999)
  for (let at = 0; at < 100; at++) await cache.getOrSet('quick', slow, options)
  t.equal(loads, 0, 'what is loaded in no time is not loaded early')
})

t.test('that there is nothing may be known for less long', async (t) => {
  const { cache, clock } = localCache(t)
  const options = { ttl: 100, nullTtl: 5 }
  for (const value of [null, undefined, 0, '', false]) {
    const { ttl } = await cache.read<unknown>(String(value), () => value, options)
    t.equal(ttl, value === null || value === undefined ? 5 : 100, String(value))
  }
  clock.advance(6)
  t.equal(await cache.getOrSet<string | null>('null', () => 'there now', options), 'there now')
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

t.test('a reading tells where the value came from, and how long it took', async (t) => {
  const { cache, clock } = localCache(t)
  const slow = async (): Promise<string> => {
    clock.advance(0.25)
    return 'x'
  }
  const loaded = await cache.read('k', slow)
  t.strictSame([loaded.tier, loaded.loadTime], ['origin', 250])
  const hit = await cache.read('k', slow)
  t.strictSame([hit.tier, hit.loadTime], ['memory', undefined])
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

t.test('what was refused does not count as a write', async (t) => {
  const { cache } = localCache(t, { maxMemory: 1000 })
  const entry = { value: '1', dataType: 'json' } as const
  await cache.set('n', 'k', entry)
  t.throws(() => cache.set('n', 'k', entry, { absent: true }), { code: 'ERR_PRECONDITION_FAILED' })
  t.throws(() => cache.set('n', 'k', { ...entry, value: 'x'.repeat(2000) }), { code: 'ERR_ENTRY_TOO_LARGE' })
  t.equal(cache.counters('n').sets, 1)
})
