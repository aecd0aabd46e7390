import t from 'tap'
import { MAX_TTL } from '../../../../schemas/config.js'
import { Ready } from '../../../../services/cache/get-or-set.js'
import { LONGEST_LIFE } from '../../../../services/cache/lifetime.js'
import { localCache } from '../setup.js'

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

t.test('a time that is none is refused before anything is loaded, or as soon as it is known', async (t) => {
  const { cache, clock } = localCache(t)
  let loads = 0
  const load = (): number => ++loads
  const entry = { value: '1', dataType: 'number' } as const
  await cache.getOrSet('stale', load, { ttl: 1, grace: 1000 })
  clock.advance(2000)
  for (const bad of [LONGEST_LIFE + 1, 1e300, Number.MAX_VALUE, NaN]) {
    for (const options of [{ ttl: bad }, { nullTtl: bad }, { grace: bad }, { ttl: 1, grace: -1 }, { grace: Infinity }]) {
      const fault = { code: 'ERR_INVALID_INPUT', statusCode: 400, message: /^The (TTL|grace) of "stale" is .*: give seconds .* a hundred years/ }
      await t.rejects(cache.getOrSet('stale', load, options), fault, 'no stale value stands in for it')
      await t.rejects(cache.getOrSetMany(['stale', 'b'], () => [1, 2], options), fault)
      await t.rejects(cache.update('stale', async () => load(), options), fault)
    }
    t.equal(loads, 1)
    await t.rejects(cache.getOrSet('k', load, { ttl: () => bad }), { message: /^The TTL of "k" is/ })
    await t.rejects(cache.getOrSet('k', () => new Ready('1', { ttl: 1, grace: bad })), { message: /^The grace of "k" is/ })
    t.throws(() => cache.set('app', 'k', { ...entry, ttl: bad }), { message: /^The TTL of "k" is/ })
    t.throws(() => cache.set('app', 'k', { ...entry, ttl: 1, grace: bad }), { message: /^The grace of "k" is/ })
    await t.rejects(cache.touch('app', 'stale', bad).then(async () => await cache.increment('app', 'n', 1, { ttl: bad })), { message: /^The TTL of/ })
    loads = 1
  }
  for (const [key, ttl] of [['ever', Infinity], ['long', LONGEST_LIFE]] as const) {
    t.equal((await cache.read(key, load, { ttl, grace: LONGEST_LIFE })).ttl, ttl)
  }
  t.equal(LONGEST_LIFE, MAX_TTL, 'what the API takes, the engine does')
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
