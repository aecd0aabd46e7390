import t from 'tap'
import type { Cache } from '../../../../services/cache/cache.js'
import { Ledger } from '../../../../services/cache/ledger.js'
import { heldMemory } from '../../../support/heap.js'
import { entryOf, Gate, localCache, settled } from '../setup.js'

const options = { ttl: 100, grace: 1000, tags: ['t', 'u'] }

/** Each makes a value of the key `k:1` invalid. */
const invalidations: Record<string, (cache: Cache) => unknown> = {
  'a deletion': (cache) => cache.delete('app', 'k:1'),
  'a deletion of several': (cache) => cache.deleteMany('app', ['other', 'k:1']),
  'a forgotten key': (cache) => cache.forget('k:1'),
  'a write': (cache) => cache.set('app', 'k:1', entryOf('written')),
  'a tag': (cache) => cache.invalidate('app', { tags: ['other', 'u'] }),
  'an outdated tag': (cache) => cache.outdate({ tags: ['t'] }),
  'a soft tag': (cache) => cache.invalidate('app', { tags: ['t'], soft: true }),
  'a pattern': (cache) => cache.invalidate('app', { pattern: 'k:?' }),
  'an outdated pattern': (cache) => cache.outdate({ pattern: 'k*' }),
  'a soft pattern': (cache) => cache.outdate({ pattern: 'k*', soft: true }),
  'a clearing': (cache) => cache.clear('app'),
  'a clearing by pattern': (cache) => cache.clear('app', '*1'),
  'an update': (cache) => cache.update('k:1', async () => 'written', options),
  'a failed update': (cache) => cache.update('k:1', async () => { throw new Error('half done') }).catch(() => {})
}

/** Each has a value on its way into the cache, which is `old` once the gate opens. */
const loads: Record<string, (cache: Cache, gate: Gate<string>, advance: (seconds: number) => void) => Promise<unknown>> = {
  'a load': (cache, gate) => cache.getOrSet('k:1', () => gate.promise, options),
  'a load whose tags come with the value': (cache, gate) => cache.getOrSet('k:1', () => gate.promise, { ...options, tags: () => ['t', 'u'] }),
  'a load past the cache': async (cache, gate) => {
    await cache.getOrSet('k:1', () => 'older', options)
    return await cache.read('k:1', () => gate.promise, { ...options, refresh: true })
  },
  'a refresh in the background': async (cache, gate, advance) => {
    await cache.getOrSet('k:1', () => 'older', options)
    advance(60)
    await cache.getOrSet('k:1', () => gate.promise, { ...options, refreshAfter: 0.5 })
  },
  'a load behind a stale value': async (cache, gate, advance) => {
    await cache.getOrSet('k:1', () => 'older', options)
    advance(101)
    await cache.getOrSet('k:1', () => gate.promise, { ...options, softTimeout: 1 })
  },
  'an update': (cache, gate) => cache.update('k:1', () => gate.promise, options)
}

for (const [load, start] of Object.entries(loads)) {
  t.test(`${load} under way cannot bring back what was invalidated meanwhile`, async (t) => {
    for (const [invalidation, invalidate] of Object.entries(invalidations)) {
      const isWritten = ['a write', 'an update'].includes(invalidation)
      for (const asked of [false, true]) {
        const name = asked ? `${invalidation}, and someone asks before it ends` : invalidation
        const { cache, clock } = localCache(t)
        const gate = new Gate<string>()
        const started = start(cache, gate, (seconds) => { clock.advance(seconds) })
        // A load behind a stale value needs its soft limit, a millisecond, to pass.
        if (load === 'a load behind a stale value') await started
        else await settled()
        await invalidate(cache)
        if (asked) {
          const value = await cache.getOrSet('k:1', () => 'new', options)
          if (!isWritten) t.equal(value, 'new', `${name}: it is loaded anew`)
        }
        gate.open('old')
        await started
        await settled()
        const entry = await cache.get('app', 'k:1')
        t.not(entry?.value, '"old"', name)
        if (asked && load !== 'an update') t.equal(entry?.value, invalidation === 'a write' || invalidation === 'an update' ? '"written"' : '"new"', `${name}: the newer value stays`)
        t.not(await cache.getOrSet('k:1', () => 'new', options), 'old', `${name}, read through`)
      }
    }
  })
}

t.test('a load that began after an invalidation is kept', async (t) => {
  for (const [name, invalidate] of Object.entries(invalidations)) {
    const { cache } = localCache(t)
    await invalidate(cache)
    await cache.forget('k:1')
    t.equal(await cache.getOrSet('k:1', () => 'new', options), 'new')
    t.equal((await cache.get('app', 'k:1'))?.value, '"new"', name)
  }
})

t.test('what others load is none of their business', async (t) => {
  const { cache } = localCache(t)
  const gate = new Gate<string>()
  const started = cache.getOrSet('k:1', () => gate.promise, options)
  await settled()
  await cache.forget('k:2')
  await cache.outdate({ tags: ['other'], pattern: 'other*' })
  await cache.clear('elsewhere')
  const joined = cache.read('k:1', () => 'second', options)
  gate.open('loaded')
  t.equal(await started, 'loaded')
  t.equal((await joined).status, 'coalesced')
  t.equal((await cache.get('app', 'k:1'))?.value, '"loaded"')
})

t.test('a hard invalidation takes the value, a soft one leaves it for its grace', async (t) => {
  const { cache } = localCache(t)
  const fail = async (): Promise<string> => { throw new Error('origin away') }
  for (const what of [{ tags: ['t'] }, { pattern: 'k:*' }, { all: true }]) {
    const name = JSON.stringify(what)
    for (const key of ['k:1', 'k:2']) await cache.getOrSet(key, () => 'old', options)
    await cache.getOrSet('k:3', () => 'old', { ttl: 100, tags: ['t'] })
    t.equal(await cache.invalidate('app', { ...what, soft: true }), 3, `${name}: three fell to it`)
    t.equal(cache.get('app', 'k:1'), undefined)
    t.equal((await cache.read('k:1', fail, options)).status, 'stale', `${name}: the old value serves while the origin is away`)
    await t.rejects(cache.getOrSet('k:3', fail, options), { message: 'origin away' }, `${name}: without grace it is gone`)
    t.equal(await cache.invalidate('app', { ...what, soft: true }), 0, 'what is stale does not count again')
    await cache.outdate(what)
    await cache.outdate({ ...what, soft: true })
    await t.rejects(cache.getOrSet('k:1', fail, options), { message: 'origin away' }, `${name}: a hard one holds, whatever comes after`)
    await cache.clear('app')
  }
})

t.test('an invalidation reaches what it names, and counts it', async (t) => {
  const { cache, clock } = localCache(t)
  const fill = async (): Promise<void> => {
    for (let at = 0; at < 10; at++) await cache.set('app', `user:${at}`, entryOf(at, { tags: at % 2 === 0 ? ['even', 'user'] : ['user'], ttl: 100 }))
    await cache.set('app', 'plain', entryOf(1))
    await cache.set('other', 'user:1', entryOf(1, { tags: ['user', 'even'] }))
  }
  const left = async (): Promise<number> => (await cache.list('app', { limit: 100 })).total
  await fill()
  t.equal(await cache.invalidate('app', { tags: ['even'] }), 5)
  t.equal(await left(), 6)
  t.equal(await cache.invalidate('app', { tags: ['even'] }), 0)
  await fill()
  t.equal(await cache.invalidate('app', { tags: ['even'], pattern: 'user:[2-5]' }), 7, 'tags and pattern are a union')
  await fill()
  t.equal(await cache.invalidate('app', { tags: ['even', 'user', '__proto__'] }), 10, 'each counts once')
  await fill()
  t.equal(await cache.clear('app', 'user:?'), 10)
  t.equal(await left(), 1)
  t.equal(await cache.clear('app'), 1)
  await fill()
  clock.advance(100)
  t.equal(await cache.clear('app'), 1, 'what had expired does not count')
  t.equal(cache.get('other', 'user:1')?.constructor, Object, 'another namespace keeps its own')
  for (const tag of ['__proto__', 'constructor']) {
    await cache.set('app', tag, entryOf(1, { tags: [tag] }))
    t.equal(await cache.invalidate('app', { tags: [tag] }), 1, tag)
  }
})

t.test('no invalidation is lost to a pass over the entries that is under way', async (t) => {
  const { cache } = localCache(t, { maxItems: 1e6, maxMemory: 1e9 })
  for (let at = 0; at < 200_000; at++) await cache.set('app', `x${at}`, entryOf(at, { tags: ['x'] }))
  const gate = new Gate<string>()
  const started = cache.getOrSet('k:1', () => gate.promise, options)
  await settled()
  let isOver = false
  const invalidated = cache.invalidate('app', { tags: ['t'] }).then(() => { isOver = true })
  await settled()
  t.notOk(isOver, 'the pass is under way')
  gate.open('old')
  await started
  await invalidated
  t.equal(cache.get('app', 'k:1'), undefined)
  t.not(await cache.getOrSet('k:1', () => 'new', options), 'old')
})

t.test('markers are retired when nothing can fall to them any more', async (t) => {
  const { cache, store } = localCache(t)
  const before = await heldMemory()
  for (let at = 0; at < 10_000; at++) await cache.outdate({ tags: [`tag:${at}`], soft: at % 2 === 0 })
  for (let at = 0; at < 1000; at++) await cache.outdate({ pattern: `key:${at}*` })
  await store.clean()
  for (let round = 0; round < 20; round++) {
    for (let at = 0; at < 10_000; at++) await cache.outdate({ tags: [`tag:${round}:${at}:${'x'.repeat(200)}`] })
    await store.clean()
  }
  const growth = (await heldMemory() - before) / 2 ** 20
  t.ok(growth < 20, `${growth.toFixed(0)} MiB after 200 000 tags`)

  const ledger = new Ledger()
  const namespace = ledger.namespace('n')
  for (let at = 0; at < 10_000; at++) ledger.record('n', { tags: [`tag:${at}`], soft: at % 2 === 0 })
  ledger.record('n', { pattern: 'a*' })
  ledger.record('n', { all: true })
  ledger.record('n', { all: true, soft: true })
  const loadBegan = ledger.stamp
  const marker = ledger.record('n', { tags: ['late'] })
  ledger.retire(ledger.revision, loadBegan, () => true)
  t.notOk(namespace.isEmpty)
  t.equal(namespace.verdict('k', ['late'], loadBegan, 0), marker, 'kept while an older load is in flight')
  t.equal(namespace.verdict('k', ['tag:1'], 0, 0), undefined, 'the older ones are gone')
  ledger.retire(ledger.revision - 1, Infinity, () => true)
  t.notOk(namespace.isEmpty, 'kept until every entry was held against it')
  ledger.retire(ledger.revision, Infinity, () => true)
  t.ok(namespace.isEmpty)
  t.equal(ledger.namespace('n'), namespace, 'a ledger that is held stays')
  ledger.retire(ledger.revision, Infinity, () => false)
  t.not(ledger.namespace('n'), namespace)
})

t.test('a marker taken back concerns nobody', async (t) => {
  const ledger = new Ledger()
  const marker = ledger.record('n', { tags: ['a'], pattern: 'k*' })
  t.equal(ledger.namespace('n').verdict('k', ['a'], 0, 0), marker)
  t.equal(ledger.namespace('n').verdict('k', ['a'], marker.stamp, 0), undefined, 'what came after it passes')
  t.equal(ledger.namespace('n').verdict('k', ['a'], 0, marker.revision), undefined, 'what was held against it passes')
  ledger.withdraw('n', marker)
  t.ok(ledger.namespace('n').isEmpty)
})
