import t from 'tap'
import { Cache } from '../../../services/cache/cache.js'
import type { Entry } from '../../../services/cache/entry.js'
import { DEFAULT_LIMITS } from '../../../services/cache/limits.js'
import { CacheRegistry } from '../../../services/cache/registry.js'
import { LocalStore } from '../../../services/cache/stores/local-store.js'
import { entryOf, localCache, ManualClock } from './setup.js'

t.test('memory answers without promises', async (t) => {
  const { cache } = localCache(t)
  for (const answer of [
    cache.set('n', 'k', entryOf(1)), cache.get('n', 'k'), cache.get('n', 'none'), cache.peek('n', 'k'), cache.getMany('n', ['k', 'none']), cache.delete('n', 'k')
  ]) t.notOk(answer instanceof Promise)
})

t.test('an entry comes back with its facts, which are nobody else\'s', async (t) => {
  const { cache, clock } = localCache(t)
  const set = await cache.set('n', 'k', {
    value: '{"a":1}', dataType: 'dictionary', ttl: 60, grace: 5, tags: ['a'], metadata: '{"tags":["a"]}', strategy: 'fifo'
  })
  clock.advance(2)
  const got = await cache.get('n', 'k') as Entry
  t.strictSame(got, { ...set, accessedAt: clock.at, accessCount: 1 })
  t.strictSame([got.createdAt, got.expiresAt, got.goneAt], [clock.at - 2000, clock.at + 58_000, clock.at + 63_000])
  t.equal((await cache.get('n', 'k'))?.accessCount, 2)
  t.equal(got.accessCount, 1, 'a snapshot')
  const again = await cache.set('n', 'k', entryOf(2))
  t.not(again.version, set.version)
  t.match(again.version, /^[0-9a-z]+$/)
  t.strictSame([again.strategy, again.expiresAt, again.accessCount, again.tags], ['lru', clock.at + 3_600_000, 0, []], 'defaults')
})

t.test('looking leaves no trace', async (t) => {
  const { cache, clock } = localCache(t, { maxItems: 2 })
  await cache.set('n', 'a', entryOf(1))
  await cache.set('n', 'b', entryOf(1, { ttl: 10, grace: 10 }))
  const { hits, misses } = cache.counters('n')
  for (let at = 0; at < 3; at++) t.equal((await cache.peek('n', 'a'))?.accessCount, 0)
  t.equal(cache.peek('n', 'none'), undefined)
  t.strictSame([cache.counters('n').hits, cache.counters('n').misses], [hits, misses])
  await cache.set('n', 'c', entryOf(1))
  t.equal(cache.peek('n', 'a'), undefined, 'the least recently used one, for all the looking')
  clock.advance(10)
  t.equal(cache.peek('n', 'b'), undefined, 'a stale one is not shown')
})

t.test('many keys are answered in their order', async (t) => {
  const { cache } = localCache(t)
  for (const key of ['a', 'b', '__proto__']) await cache.set('n', key, entryOf(key))
  const entries = await cache.getMany('n', ['b', 'none', '__proto__', 'a', 'b'])
  t.strictSame(entries.map((entry) => entry?.value), ['"b"', undefined, '"__proto__"', '"a"', '"b"'])
  t.strictSame(await cache.deleteMany('n', ['a', 'none', 'a', '__proto__']), [true, false, false, true])
  t.strictSame(await cache.getMany('n', []), [])
})

t.test('touch gives another time to live, and nothing else', async (t) => {
  const { cache, clock } = localCache(t)
  const set = await cache.set('n', 'k', entryOf(1, { ttl: 10, grace: 3 }))
  clock.advance(9)
  const touched = await cache.touch('n', 'k', 100) as Entry
  t.strictSame(touched, { ...set, expiresAt: clock.at + 100_000, goneAt: clock.at + 103_000 })
  clock.advance(99)
  t.equal((await cache.get('n', 'k'))?.version, set.version)
  t.equal((await cache.touch('n', 'k', 0))?.expiresAt, Infinity)
  clock.advance(1e9)
  t.ok(cache.get('n', 'k'))
  t.equal((await cache.touch('n', 'k', 0.05))?.expiresAt, clock.at + 50)
  clock.at += 50
  t.equal(await cache.touch('n', 'k', 10), undefined, 'too late')
  t.equal(await cache.touch('n', 'none', 10), undefined)
})

t.test('fifty increments at once all count', async (t) => {
  const { cache, clock } = localCache(t)
  await cache.set('n', 'k', entryOf(1000, { ttl: 60, dataType: 'number', tags: ['t'], metadata: '{}', strategy: 'lfu' }))
  clock.advance(20)
  const entries = await Promise.all(Array.from({ length: 50 }, async (_, at) => await cache.increment('n', 'k', at % 2 === 0 ? 3 : -1)))
  t.equal(new Set(entries.map(({ version }) => version)).size, 50)
  const { value, expiresAt, tags, metadata, strategy } = await cache.get('n', 'k') as Entry
  t.strictSame([value, expiresAt - clock.at, tags, metadata, strategy], ['1050', 40_000, ['t'], '{}', 'lfu'], 'the time to live stays, like all else')
  t.equal((await cache.increment('n', 'k', 1, { ttl: 5 })).expiresAt, clock.at + 5000, 'unless another is given')
  clock.advance(5)
  const anew = await cache.increment('n', 'k', 0.5)
  t.strictSame([anew.value, anew.dataType, anew.expiresAt], ['0.5', 'number', clock.at + 3_600_000], 'an absent one starts at 0')
  t.equal((await cache.increment('n', 'k', -0.5)).value, '0')
})

t.test('only numbers can be incremented', async (t) => {
  const { cache } = localCache(t)
  for (const [value, dataType] of [['"1"', 'string'], ['null', 'json'], ['[1]', 'list'], ['true', 'boolean'], ['"MQ=="', 'binary']] as const) {
    await cache.set('n', 'k', { value, dataType })
    await t.rejects(cache.increment('n', 'k', 1), { code: 'ERR_WRONG_TYPE', statusCode: 409 }, dataType)
    t.equal((await cache.peek('n', 'k'))?.value, value, 'and stays')
  }
  await cache.set('n', 'k', { value: '41', dataType: 'json' })
  t.equal((await cache.increment('n', 'k', 1)).value, '42')
  await cache.set('n', 'k', { value: String(Number.MAX_VALUE), dataType: 'number' })
  await t.rejects(cache.increment('n', 'k', Number.MAX_VALUE), { code: 'ERR_WRONG_TYPE' })
  const outcomes = await Promise.allSettled([cache.increment('n', 'k', Number.MAX_VALUE), cache.increment('n', 'k', -Number.MAX_VALUE), cache.increment('n', 'k', 1)])
  t.strictSame(outcomes.map(({ status }) => status), ['rejected', 'fulfilled', 'fulfilled'], 'a refused one does not spoil the next')
  t.equal((await cache.peek('n', 'k'))?.value, '1')
})

t.test('conditional writes hold against what is there', async (t) => {
  const { cache, clock } = localCache(t)
  const failed = { code: 'ERR_PRECONDITION_FAILED', statusCode: 412 }
  const first = await cache.set('n', 'k', entryOf(1, { ttl: 10, grace: 100 }), { absent: true })
  t.throws(() => cache.set('n', 'k', entryOf(2), { absent: true }), failed)
  t.throws(() => cache.set('n', 'none', entryOf(2), { version: first.version }), failed)
  for (const version of ['', 'x', '1v1', `${first.version}0`, ` ${first.version}`, 'NaN', '*']) {
    t.throws(() => cache.set('n', 'k', entryOf(2), { version }), failed, JSON.stringify(version))
    t.throws(() => cache.delete('n', 'k', { version }), failed)
  }
  t.equal((await cache.peek('n', 'k'))?.value, '1')
  const second = await cache.set('n', 'k', entryOf(2, { ttl: 10, grace: 100 }), { version: first.version })
  t.throws(() => cache.set('n', 'k', entryOf(3), { version: first.version }), failed, 'the version has moved on')
  clock.advance(11)
  t.throws(() => cache.set('n', 'k', entryOf(3), { version: second.version }), failed, 'a stale one counts as absent')
  const third = await cache.set('n', 'k', entryOf(3), { absent: true })
  t.equal(await cache.delete('n', 'k', { version: third.version }), true)
  t.throws(() => cache.delete('n', 'k', { version: third.version }), failed)
  const fourth = await cache.set('n', 'k', entryOf(4, { tags: ['t'] }), { absent: true })
  await cache.outdate({ tags: ['t'] })
  await cache.invalidate('n', { tags: ['t'] })
  t.throws(() => cache.set('n', 'k', entryOf(5), { version: fourth.version }), failed, 'what was invalidated counts as absent')
})

t.test('what is counted is what happened, by namespace', async (t) => {
  const { cache, clock } = localCache(t, { maxItems: 3 })
  for (const key of ['a', 'b', 'c', 'd']) await cache.set('n', key, entryOf(1, { ttl: 10 }))
  await cache.getMany('n', ['a', 'b', 'c'])
  await cache.get('n', 'd')
  await cache.delete('n', 'b')
  await cache.delete('n', 'none')
  await cache.increment('n', 'i', 1)
  await cache.clear('n', 'x*')
  await cache.set('other', 'a', entryOf(1))
  clock.advance(10)
  const { items, bytes, ...counts } = await cache.statistics('n')
  t.match(counts, { hits: 3, memoryHits: 3, misses: 1, sets: 5, deletes: 2, invalidations: 1, evictions: 2, expirations: 1 })
  t.equal(items, 1)
  const all = await cache.statistics()
  t.strictSame([all.items, all.sets, all.hits], [2, 6, 3])
  t.equal(all.bytes, bytes + (await cache.peek('other', 'a') as Entry).size)
  t.strictSame(cache.memoryUsage, { items: all.items, bytes: all.bytes })
  t.match(await cache.statistics('nowhere'), { items: 0, bytes: 0, hits: 0, sets: 0 })
  t.strictSame(cache.counters('n'), { ...cache.counters('n') }, 'a copy')
})

t.test('limits change while it runs', async (t) => {
  const { cache, clock } = localCache(t)
  for (const key of ['a', 'b', 'c']) await cache.set('n', key, entryOf(1))
  cache.configure({ maxItems: 2, defaultTtl: 5, strategy: 'fifo' })
  t.strictSame(cache.limits, { ...DEFAULT_LIMITS, maxItems: 2, defaultTtl: 5, strategy: 'fifo' })
  t.equal(cache.memoryUsage.items, 2)
  const { strategy, expiresAt } = await cache.set('n', 'd', entryOf(1))
  t.strictSame([strategy, expiresAt], ['fifo', clock.at + 5000])
  cache.configure({ cleanupInterval: 30 * 24 * 3600 })
  t.throws(() => cache.set('n', 'large', entryOf('x'.repeat(200 * 1024 * 1024 / 2))), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 })
  t.equal(DEFAULT_LIMITS.maxItems, 10_000)
})

t.test('what expired is reclaimed although nobody asks', async (t) => {
  const clock = new ManualClock()
  const limits = { ...DEFAULT_LIMITS, cleanupInterval: 0.01 }
  const store = new LocalStore({ now: clock.now, limits })
  const cache = new Cache({ store, now: clock.now, limits })
  t.teardown(async () => { await cache.close() })
  await cache.set('n', 'k', entryOf(1, { ttl: 1 }))
  clock.advance(1)
  for (const until = Date.now() + 5000; cache.memoryUsage.items > 0 && Date.now() < until;) await new Promise((resolve) => { setTimeout(resolve, 5) })
  t.equal(cache.memoryUsage.items, 0)
})

t.test('a list goes on only from where a page ended', async (t) => {
  const { cache } = localCache(t)
  for (const key of ['a', 'b', 'c']) await cache.set('n', key, entryOf(1))
  const { cursor } = await cache.list('n', { limit: 2 })
  t.equal((await cache.list('n', { limit: 2, cursor })).entries[0]?.key, 'c')
  for (const wrong of ['', '%', ' ', '\0', 'Zm9v', '__proto__', 'x'.repeat(3000)]) {
    await t.rejects(cache.list('n', { limit: 2, cursor: wrong }), { code: 'ERR_INVALID_CURSOR', statusCode: 400 }, JSON.stringify(wrong).slice(0, 20))
  }
})

t.test('the registry knows what is built and what is configured', async (t) => {
  const { cache } = localCache(t)
  const registry = new CacheRegistry([cache], 'memory')
  t.equal(registry.get('memory'), cache)
  t.strictSame(registry.all(), [cache])
  t.throws(() => registry.get('redis'), { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 })
  t.throws(() => registry.get('memcached'), { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503, message: /MEMCACHED_URL/ })
  for (const backend of ['database', 'file', 'disk', '__proto__']) {
    t.throws(() => registry.get(backend), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422 }, backend)
  }
})

t.test('evictions and expirations are counted where they happened', async (t) => {
  const { cache, clock } = localCache(t, { maxItems: 2 })
  for (const key of ['a', 'b', 'c']) await cache.set('one', key, entryOf(key, { ttl: 1 }))
  await cache.set('two', 'd', entryOf('d', { ttl: 1 }))
  t.match(cache.counters('one'), { evictions: 2, expirations: 0 })
  t.match(cache.counters('two'), { evictions: 0, expirations: 0 })
  clock.at += 2000
  t.equal(await cache.get('two', 'd'), undefined)
  t.match(cache.counters('two'), { evictions: 0, expirations: 1 })
  t.match(cache.counters('one'), { evictions: 2, expirations: 0 })
  t.match(cache.counters(), { evictions: 2, expirations: 1 })
})
