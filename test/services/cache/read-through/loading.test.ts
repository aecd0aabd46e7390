import t from 'tap'
import { Reading } from '../../../../services/cache/reading.js'
import { Gate, localCache, settled } from '../setup.js'

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

t.test('what was refused does not count as a write', async (t) => {
  const { cache } = localCache(t, { maxMemory: 1000 })
  const entry = { value: '1', dataType: 'json' } as const
  await cache.set('n', 'k', entry)
  t.throws(() => cache.set('n', 'k', entry, { absent: true }), { code: 'ERR_PRECONDITION_FAILED' })
  t.throws(() => cache.set('n', 'k', { ...entry, value: 'x'.repeat(2000) }), { code: 'ERR_ENTRY_TOO_LARGE' })
  t.equal(cache.counters('n').sets, 1)
})
