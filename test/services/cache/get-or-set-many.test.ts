import t from 'tap'
import { Gate, localCache, settled } from './setup.js'

interface Recorded { calls: string[][], load: (keys: string[]) => Map<string, string> }

function recorded (): Recorded {
  const calls: string[][] = []
  return {
    calls,
    load: (keys) => {
      calls.push(keys)
      return new Map(keys.map((key) => [key, `${key}!`]))
    }
  }
}

t.test('what is there is not loaded, the rest in one call', async (t) => {
  const { cache } = localCache(t)
  const { calls, load } = recorded()
  await cache.getOrSet('b', () => 'kept')
  const outcomes = await cache.getOrSetMany(['a', 'b', 'c', 'a'], load)
  t.strictSame(outcomes, [
    { key: 'a', status: 'miss', value: 'a!' },
    { key: 'b', status: 'hit', value: 'kept' },
    { key: 'c', status: 'miss', value: 'c!' },
    { key: 'a', status: 'miss', value: 'a!' }
  ])
  t.strictSame(calls, [['a', 'c']], 'each key once')
  t.strictSame((await cache.getOrSetMany(['c', 'a'], load)).map(({ status }) => status), ['hit', 'hit'])
  t.strictSame(await cache.getOrSetMany([], load), [])
  t.equal(calls.length, 1)
  const { hits, misses, loads } = cache.counters('app')
  t.strictSame({ hits, misses, loads }, { hits: 3, misses: 3, loads: 3 })
})

t.test('one load per key, whoever asks in whichever way', async (t) => {
  const { cache } = localCache(t)
  const [one, many] = [new Gate<string>(), new Gate<Record<string, string>>()]
  const first = cache.getOrSet('a', () => one.promise)
  await settled()
  const calls: string[][] = []
  const both = cache.getOrSetMany(['a', 'b', 'c'], (keys) => {
    calls.push(keys)
    return many.promise
  })
  await settled()
  t.strictSame(calls, [['b', 'c']], 'a load under way holds the others up no more than it is loaded again')
  const third = cache.read('b', () => 'second load')
  const overlapping = cache.getOrSetMany(['c', 'd'], (keys) => keys.map((key) => `${key} of the second call`))
  await settled()
  many.open({ b: 'of many', c: 'of many' })
  one.open('of one')
  t.equal(await first, 'of one')
  t.strictSame((await both).map((outcome) => 'value' in outcome ? [outcome.status, outcome.value] : outcome),
    [['coalesced', 'of one'], ['miss', 'of many'], ['miss', 'of many']])
  t.strictSame([(await third).status, (await third).value], ['coalesced', 'of many'])
  t.strictSame((await overlapping).map((outcome) => 'value' in outcome && outcome.value), ['of many', 'd of the second call'])
})

t.test('a key that fails does not spoil the others', async (t) => {
  const { cache } = localCache(t)
  const fault = new Error('this one alone')
  const outcomes = await cache.getOrSetMany<string | null>(['a', 'failing', 'none', 'forgotten', '__proto__'],
    () => ({ a: 'fine', failing: fault, none: null }))
  t.match(outcomes, [
    { key: 'a', status: 'miss', value: 'fine' },
    { key: 'failing', status: 'failed', error: fault },
    { key: 'none', status: 'miss', value: null },
    { key: 'forgotten', status: 'failed', error: { code: 'ERR_NOT_LOADED' } },
    { key: '__proto__', status: 'failed', error: { code: 'ERR_NOT_LOADED' } }
  ])
  t.strictSame((await cache.getOrSetMany(['a', 'none', 'failing'], (keys) => keys)).map(({ status }) => status), ['hit', 'hit', 'miss'],
    'null is kept as a value, failures are not')
  const all = await cache.getOrSetMany(['x', 'y', 'a'], () => { throw fault })
  t.strictSame(all, [
    { key: 'x', status: 'failed', error: fault }, { key: 'y', status: 'failed', error: fault }, { key: 'a', status: 'hit', value: 'fine' }
  ])
  await t.rejects(cache.getOrSet('x', () => { throw fault }), fault)
})

t.test('TTL and tags by value and key; grace by key', async (t) => {
  const { cache, clock } = localCache(t)
  const options = {
    ttl: (_value: string, key: string) => key === 'long' ? 100 : 10, tags: (_value: string, key: string) => [`of:${key}`], grace: 50, graceBackoff: 5
  }
  await cache.getOrSetMany(['long', 'short', 'dropped'], (keys) => keys, options)
  await cache.outdate({ tags: ['of:dropped'] })
  clock.advance(20)
  const failing = async (): Promise<never> => { throw new Error('origin away') }
  t.match(await cache.getOrSetMany<string>(['long', 'short', 'dropped'], failing, options), [
    { status: 'hit', value: 'long' }, { status: 'stale', value: 'short' }, { status: 'failed' }
  ])
  let asked: string[] = []
  const load = (keys: string[]): string[] => {
    asked = keys
    return keys
  }
  t.match(await cache.getOrSetMany(['short', 'dropped'], load, options), [{ status: 'stale' }, { status: 'miss' }])
  t.strictSame(asked, ['dropped'], 'a loader that failed is left alone for that key')
  clock.advance(6)
  t.match(await cache.getOrSetMany(['short'], load, options), [{ status: 'miss', value: 'short' }])
})

t.test('past the cache, with a fallback, as shared values', async (t) => {
  const { cache } = localCache(t)
  await cache.getOrSet('a', () => ({ n: 1 }))
  t.match(await cache.getOrSetMany(['a'], () => [{ n: 2 }], { refresh: true }), [{ status: 'bypass', value: { n: 2 } }])
  const outcomes = await cache.getOrSetMany(['a', 'b'], () => { throw new Error('away') }, { fallback: () => ({ n: 0 }), shared: true })
  t.match(outcomes, [{ status: 'hit', value: { n: 2 } }, { status: 'fallback', value: { n: 0 } }])
  for (const outcome of outcomes) t.ok('value' in outcome && Object.isFrozen(outcome.value))
  t.equal(await cache.get('app', 'b'), undefined, 'a fallback is not kept')
})

t.test('a thousand keys at once', async (t) => {
  const { cache } = localCache(t)
  const keys = Array.from({ length: 1000 }, (_, at) => `k${at}`)
  const { calls, load } = recorded()
  const [a, b] = await Promise.all([cache.getOrSetMany(keys, load), cache.getOrSetMany([...keys].reverse(), load)])
  t.equal(calls.flat().length, 1000)
  t.ok(calls.length <= 2)
  t.ok([...a, ...b].every((outcome) => 'value' in outcome && outcome.value === `${outcome.key}!`))
})
