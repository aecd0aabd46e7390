import { mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { ClassicLevel } from 'classic-level'
import t from 'tap'
import { drawSample } from '../../../../../services/cache/analytics/sampling.js'
import { FileBackend } from '../../../../../services/cache/backends/file/file.js'
import type { Cache } from '../../../../../services/cache/cache.js'
import { KeyRing } from '../../../../../services/cache/codec/key-ring.js'
import { KeySource } from '../../../../../services/cache/codec/key-source.js'
import { decode, encode } from '../../../../../services/cache/encoding.js'
import { DATA_TYPES, POLICIES } from '../../../../../services/cache/entry.js'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { RecordFormat } from '../../../../../services/cache/record-format.js'
import { openFileCache } from '../../../../support/caches.js'
import type { Owner } from '../../../../support/servers.js'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { Random } from '../../random.js'
import { entryOf as entry, ManualClock, valueIn } from '../../setup.js'
import { type Held, orders } from '../../textbook.js'

const NS = 'default'
const DAY = 86_400
const newFolder = (owner: Owner): string => join(temporaryFolder(owner), 'data', 'cache')
const keysIn = async (cache: Cache, namespace = NS): Promise<string[]> => {
  const keys: string[] = []
  for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
    const page = await cache.list(namespace, { limit: 1000, cursor })
    keys.push(...page.entries.map(({ key }) => key))
    cursor = page.cursor
  }
  return keys
}

t.test('what was answered is there after reopening', async (t) => {
  const folder = newFolder(t)
  const before = await openFileCache(t, folder)
  const small = entry({ n: 1 }, { tags: ['x'], metadata: '{"tags":["x"]}', ttl: 60, strategy: 'lfu' })
  await before.cache.set(NS, 'small', small)
  await before.cache.set(NS, 'large', entry('x'.repeat(100_000), { ttl: 0 }))
  await before.cache.set(NS, 'shrunk', entry('x'.repeat(100_000)))
  await before.cache.set(NS, 'shrunk', entry('y'))
  await before.cache.set(NS, 'touched', entry(1, { ttl: 0.05 }))
  await before.cache.touch(NS, 'touched', 60)
  for (let i = 0; i < 3; i++) await before.cache.get(NS, 'small')
  const seen = await before.cache.peek(NS, 'small')
  t.equal(seen?.accessCount, 3)
  const held = await before.cache.statistics()
  t.equal(statSync(folder).mode & 0o777, 0o700, 'nobody else on the machine may look')
  await before.cache.close()

  const after = await openFileCache(t, folder)
  t.strictSame(await after.cache.peek(NS, 'small'), seen, 'with its type, tags, metadata, times, reads and version')
  t.equal(await valueIn(after.cache, 'large'), 'x'.repeat(100_000))
  t.equal(await valueIn(after.cache, 'shrunk'), 'y')
  t.equal(await valueIn(after.cache, 'touched'), 1)
  t.match(await after.cache.statistics(), { items: held.items, bytes: held.bytes })
  t.strictSame(await keysIn(after.cache), ['large', 'shrunk', 'small', 'touched'])
})

t.test('files in a folder that was there are for this user alone', async (t) => {
  const folder = newFolder(t)
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  const { cache } = await openFileCache(t, folder)
  await cache.set(NS, 'k', entry(1))
  const modes = readdirSync(folder).map((name) => statSync(join(folder, name))).filter((each) => each.isFile()).map(({ mode }) => (mode & 0o777).toString(8))
  t.strictSame(new Set(modes), new Set(['600']))
})

t.test('a sample is of all entries, whatever their order', async (t) => {
  const { cache, store } = await openFileCache(t, newFolder(t))
  const random = new Random()
  for (const prefix of ['a', 'z']) await Promise.all(Array.from({ length: 1000 }, async (_, i) => await cache.set(prefix === 'a' ? 'one' : 'two', `${prefix}:${i}`, entry(random.below(99)))))
  const { items, bytes } = await cache.statistics()
  const sample = await drawSample(store, undefined, 400, cache.now)
  t.match(sample, { items, bytes, isComplete: true })
  t.equal(new Set(sample.entries.map(({ key }) => key)).size, 400)
  const share = sample.entries.filter(({ key }) => key.startsWith('z')).length / 400
  t.ok(Math.abs(share - 0.5) < 0.2, `${share} of the later half`)
  t.match(await drawSample(store, 'two', 2000, cache.now), { items: 1000, entries: { length: 1000 } })
})

t.test('what was deleted, invalidated, evicted or expired does not come back by reopening', async (t) => {
  const folder = newFolder(t)
  const clock = new ManualClock()
  const open = async () => await openFileCache(t, folder, { now: clock.now, limits: { maxItems: 8 } })
  const { cache, store } = await open()
  for (const size of [1, 5000]) {
    for (const key of ['first', 'deleted', 'tagged', 'outdated', 'matched', 'expired', 'kept']) {
      await cache.set(NS, `${key}:${size}`, entry('x'.repeat(size), { tags: [key], ttl: key === 'expired' ? 5 : 0 }))
    }
  }
  t.equal(cache.counters().evictions, 6)
  t.equal(await cache.delete(NS, 'deleted:5000'), true)
  t.equal(await cache.invalidate(NS, { tags: ['tagged'] }), 1)
  t.equal(await cache.clear(NS, 'match*'), 1)
  await store.outdate(NS, { tags: ['outdated'] }) // nothing is swept: the entry is still in the files
  clock.advance(10)
  await cache.close()

  const after = await open()
  t.strictSame(await keysIn(after.cache), ['first:5000', 'kept:1', 'kept:5000'])
  t.equal(await valueIn(after.cache, 'outdated:5000'), undefined)
  t.equal((await after.cache.statistics()).items, 3)
  await after.cache.set(NS, 'outdated:5000', entry(2, { tags: ['outdated'] }))
  t.equal(await valueIn(after.cache, 'outdated:5000'), 2, 'what is written anew stands')
  await after.cache.close()
  t.equal(await valueIn((await open()).cache, 'outdated:5000'), 2)
})

t.test('an entry', async (t) => {
  const folder = newFolder(t)
  let opened = await openFileCache(t, folder)
  const reopened = async (): Promise<Cache> => {
    await opened.cache.close()
    opened = await openFileCache(t, folder)
    return opened.cache
  }

  await t.test('comes back byte for byte, whatever it holds', async (t) => {
    const values: unknown[] = [
      null, 0, -1.5e300, '', false, 'é漢\u{1F600}\u2028\u0000"\\', '\ud800', [], [1, 'é', null], {}, { constructor: 1, '': 2 },
      'x'.repeat(1020), 'x'.repeat(1024), 'é'.repeat(500_000), 'x'.repeat(16_384), 'x'.repeat(16_385), 'x'.repeat(1_000_000)
    ]
    const written = values.flatMap((value, at) => DATA_TYPES.map((dataType) => ({ key: `${at} ${dataType}`, value: encode(value), dataType })))
    await Promise.all(written.map(async ({ key, ...facts }) => await opened.cache.set('bytes', key, { ...facts, metadata: '{"é":"\\u0000"}', tags: ['\ud800', 'é'] })))
    const cache = await reopened()
    const found = await cache.getMany('bytes', written.map(({ key }) => key))
    const wrong = written.filter(({ value, dataType }, at) => found[at]?.dataType !== dataType || !Buffer.from(found[at].value).equals(Buffer.from(value)))
    t.strictSame(wrong.map(({ key }) => key), [])
    t.strictSame([found[0]?.metadata, found[0]?.tags], ['{"é":"\\u0000"}', ['\ud800', 'é']])
  })

  await t.test('is found under any key, and under no other', async (t) => {
    const keys = [
      '\u0000', '\ud800', '\udc00', '\ud800x', '\ufffd', '', ' ', '/', '..', '../../etc/passwd', 'e', 'v', 'a\u0000b', 'a:b', 'é', 'e\u0301', '\u{1F600}',
      '\uffff', '"'.repeat(1000), 'é'.repeat(500), '\u{1F600}'.repeat(250)
    ]
    for (const namespace of ['n', 'nn', '']) {
      for (const [at, key] of keys.entries()) await opened.cache.set(namespace, key, entry(`${namespace}${at}`))
    }
    const cache = await reopened()
    for (const namespace of ['n', 'nn', '']) {
      const found = await cache.getMany(namespace, keys)
      t.strictSame(found.map((each) => each && [each.key, decode(each.value)]), keys.map((key, at) => [key, `${namespace}${at}`]))
      t.strictSame((await keysIn(cache, namespace)).sort(), [...keys].sort())
    }
    const paged: string[] = []
    for (let cursor: string | undefined, more = true; more; more = cursor !== undefined) {
      const page = await cache.list('n', { limit: 1, cursor })
      paged.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
    }
    t.strictSame(paged.sort(), [...keys].sort(), 'page by page as well')
    t.equal(await cache.clear('n'), keys.length)
    t.equal((await keysIn(cache, 'nn')).length, keys.length, 'a namespace that begins alike is another')
    await t.rejects(Promise.resolve(cache.set('a\0b', 'k', entry(1))), { statusCode: 422, message: /NUL/ })
  })

  await t.test('lives as long as it is to, over restarts', async (t) => {
    const clock = new ManualClock()
    const open = async () => await openFileCache(t, join(folder, '..', 'timed'), { now: clock.now })
    const { cache } = await open()
    await cache.set(NS, 'ever', entry(1, { ttl: 0 }))
    await cache.set(NS, 'long', entry(1, { ttl: 60 * DAY }))
    await cache.set(NS, 'brief', entry(1, { ttl: 0.05 }))
    clock.advance(0.04)
    t.equal(await valueIn(cache, 'brief'), 1)
    await cache.close()
    clock.advance(0.02)
    const later = await open()
    t.strictSame(await keysIn(later.cache), ['ever', 'long'])
    clock.advance(60 * DAY - 1)
    t.equal(await valueIn(later.cache, 'long'), 1)
    await later.cache.close()
    clock.advance(1)
    t.strictSame(await keysIn((await open()).cache), ['ever'])
  })

  await t.test('goes by a sweep when nobody asks for it', async (t) => {
    const clock = new ManualClock()
    const { cache, store, backend } = await openFileCache(t, join(folder, '..', 'swept'), { now: clock.now })
    for (let i = 0; i < 2000; i++) void cache.set(NS, `k${i}`, entry(i, { ttl: i % 2 === 0 ? 1 : 100 }))
    await cache.set(NS, 'last', entry(1))
    clock.advance(2)
    await store.clean()
    const left: number[] = []
    for await (const entries of backend.scan(NS)) left.push(entries.length)
    t.equal(left.reduce((sum, count) => sum + count), 1001)
  })
})

t.test('a second one on the same folder is refused in one line that says what to do', async (t) => {
  const folder = newFolder(t)
  const { cache } = await openFileCache(t, folder)
  await cache.set(NS, 'k', entry(1))
  const refused = FileBackend.open({ folder, now: Date.now, limits: DEFAULT_LIMITS })
  await t.rejects(refused, { name: 'FolderInUseError', message: new RegExp(`^The cache in ${folder} is in use by another Larder\\..*DATA_DIR.*$`) })
  t.equal(await valueIn(cache, 'k'), 1, 'the first one goes on')
  await t.rejects(FileBackend.open({ folder: '/proc/larder/cache', now: Date.now, limits: DEFAULT_LIMITS }), { name: 'FolderUnusableError', message: /^.*DATA_DIR.*$/ })
})

t.test('what LevelDB lost or brought back without telling is not served', async (t) => {
  type Change = { type: 'put', key: Buffer, value: Buffer } | { type: 'del', key: Buffer }
  /** Rows by the names they have in the tests, of the first and of the last version. */
  const tried: [string, (first: Map<string, Buffer>, last: Map<string, Buffer>) => Change[], string[]][] = [
    ['an older version of an entry', (first) => [{ type: 'put', key: Buffer.from('edefault\0written'), value: first.get('edefault\0written') as Buffer }], ['written']],
    ['an entry that was deleted', (first) => [{ type: 'put', key: Buffer.from('edefault\0deleted'), value: first.get('edefault\0deleted') as Buffer }], ['deleted']],
    ['an entry without its shorter time to live', () => [{ type: 'del', key: Buffer.from('adefault\0shortened') }], ['shortened']],
    ['entries without an invalidation', (_, last) => [...last.keys()].filter((name) => name.startsWith('z')).map((name) => ({ type: 'del', key: Buffer.from(name) })), ['outdated']]
  ]
  for (const [what, damage, gone] of tried) {
    const folder = newFolder(t)
    const clock = new ManualClock()
    const faults: string[] = []
    const open = async () => await openFileCache(t, folder, { now: clock.now }, { onFault: (error) => { faults.push(String(error)) } })
    const rows = async (change?: (rows: Map<string, Buffer>) => Change[]) => {
      const level = new ClassicLevel<Buffer, Buffer>(folder, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
      await level.open()
      const found = new Map((await level.iterator().all()).map(([key, value]) => [key.toString(), value]))
      await level.batch(change?.(found) ?? [])
      await level.close()
      return found
    }
    const opened = await open()
    for (const key of ['written', 'deleted', 'shortened', 'outdated']) await opened.cache.set(NS, key, entry('first', { ttl: 0, tags: [key] }))
    for (let i = 0; i < 100; i++) await opened.cache.set(NS, `other${i}`, entry(i, { ttl: 0 }))
    await opened.cache.close()
    const first = await rows()
    const { cache, store } = await open()
    await cache.set(NS, 'written', entry('last', { ttl: 0 }))
    await cache.delete(NS, 'deleted')
    await cache.touch(NS, 'shortened', 1)
    await store.outdate(NS, { tags: ['outdated'] })
    await cache.close()
    t.strictSame(faults, [])

    await rows((last) => damage(first, last))
    clock.advance(2)
    const after = await open()
    const values = await Promise.all(['written', 'deleted', 'shortened', 'outdated'].map(async (key) => await valueIn(after.cache, key)))
    t.strictSame(values, [gone.includes('written') || gone.includes('outdated') ? undefined : 'last', undefined, undefined, undefined], what)
    t.match(faults, [/entries of the cache .* are damaged, and were deleted/], what)
    const others = (await keysIn(after.cache)).filter((key) => key.startsWith('other')).length
    t.ok(gone.includes('outdated') ? others === 0 : others > 80, `${others} of 100 others stay`)
    t.ok(after.backend.damaged() > 0)
    await after.cache.set(NS, 'new', entry(1))
    await after.cache.close()
    faults.length = 0
    t.equal(await valueIn((await open()).cache, 'new'), 1)
    t.strictSame(faults, [], 'it tallies again')
  }
})

t.test('entries that nobody has the key of any more go alone', async (t) => {
  const folder = newFolder(t)
  const format = async (name: string, byte: number) => new RecordFormat({ purpose: 'file:api', keys: await KeyRing.open([new KeySource(name, Buffer.alloc(32, byte))]), encryption: true })
  const clock = new ManualClock()
  const plain = await openFileCache(t, folder, { now: clock.now })
  for (let i = 0; i < 50; i++) await plain.cache.set(NS, `plain${i}`, entry(i, { ttl: 0 }))
  await plain.cache.close()
  const sealed = await openFileCache(t, folder, { now: clock.now }, { format: await format('a', 1) })
  for (let i = 0; i < 500; i++) void sealed.cache.set(NS, `sealed${i}`, entry(i, { ttl: 0 }))
  await sealed.cache.touch(NS, 'sealed7', 60)
  await sealed.cache.close()
  const other = await openFileCache(t, folder, { now: clock.now }, { format: await format('b', 2), onFault: () => {} }) // it tells of them
  t.equal((await keysIn(other.cache)).length, 50, 'what can be read is there')
  t.equal(other.backend.damaged(), 500)
})

t.test('encrypted entries show no plaintext in the files, and need their key', async (t) => {
  const folder = newFolder(t)
  const ring = async () => await KeyRing.open([new KeySource('a', Buffer.alloc(32, 7))])
  const format = new RecordFormat({ purpose: 'file:api', keys: await ring(), encryption: true })
  const { cache } = await openFileCache(t, folder, {}, { format })
  for (const length of [10, 5000]) await cache.set(NS, `k${length}`, entry('plaintext '.repeat(length / 10), { tags: ['plaintext'], metadata: '{"m":"plaintext"}' }))
  await cache.close()
  for (const { name } of readdirSync(folder, { withFileTypes: true }).filter((each) => each.isFile())) t.notOk(readFileSync(join(folder, name)).includes('plaintext'), name)

  const open = FileBackend.open({ folder, now: Date.now, limits: DEFAULT_LIMITS })
  await t.rejects(open, { name: 'FolderSealedError', message: /^.*CACHE_ENCRYPTION_KEY.*$/ }, 'without the key nothing is opened, and nothing is lost')
  const again = await openFileCache(t, folder, {}, { format: new RecordFormat({ purpose: 'file:api', keys: await ring() }) })
  t.equal(await valueIn(again.cache, 'k5000'), 'plaintext '.repeat(500))
  t.equal(await again.cache.invalidate(NS, { tags: ['plaintext'] }), 2)
})

t.test('limits hold at every moment, and the textbook says who goes', async (t) => {
  for (const strategy of POLICIES) {
    t.test(strategy, async (t) => {
      const random = new Random()
      const seed = `seed ${random.seed}`
      const folder = newFolder(t)
      const clock = new ManualClock()
      const maxItems = 40
      const open = async (limits: object) => await openFileCache(t, folder, { now: clock.now, limits: { maxItems, strategy, ...limits } })
      let { cache, backend } = await open({})
      const order = orders[strategy]
      const held = new Map<string, Held>()
      let step = 0
      let evictions = 0
      const wrong: string[] = []
      const use = (key: string): void => {
        const entry = held.get(key) as Held
        entry.uses++
        entry.used = step
      }
      const evict = (but?: string): void => {
        if (order === undefined) return
        const [victim] = [...held].filter(([key]) => key !== but).sort(([, a], [, b]) => order(a, b))[0] as [string, Held]
        held.delete(victim)
      }
      for (step = 1; step <= 1500; step++) {
        const key = `k${Math.floor(120 * random.next() ** 2)}`
        const ttl = 1000 + random.below(100_000)
        if (random.chance(0.05)) {
          const there = await cache.delete(NS, key)
          if (order !== undefined && there !== held.has(key)) wrong.push(`${step}: deleted ${key}`)
          held.delete(key)
        } else if (random.chance(0.5)) {
          const there = await cache.get(NS, key) !== undefined
          if (order !== undefined && there !== held.has(key)) wrong.push(`${step}: read ${key}`)
          if (held.has(key)) use(key)
        } else {
          const expiresAt = clock.at + ttl * 1000
          if (held.has(key)) {
            use(key)
            Object.assign(held.get(key) as Held, { written: step, expiresAt })
          } else {
            if (held.size === maxItems) evict()
            if (order !== undefined) held.set(key, { slot: 0, uses: 1, used: step, written: step, expiresAt })
          }
          await cache.set(NS, key, entry('x'.repeat(random.below(2000)), { ttl }))
        }
        clock.advance(random.below(2))
        if (step % 100 === 0) {
          let items = 0
          for await (const outlines of backend.outline(undefined)) items += outlines.length
          if (items > maxItems) wrong.push(`${step}: ${items} entries`)
          if (order !== undefined && (await keysIn(cache)).join() !== [...held.keys()].sort().join()) wrong.push(`${step}: other keys`)
        }
        if (step % 500 === 0) {
          evictions += cache.counters().evictions
          await cache.close();
          ({ cache, backend } = await open({}))
        }
      }
      t.strictSame(wrong.slice(0, 5), [], `${seed}, over ${Math.floor(step / 500)} restarts`)
      t.ok(evictions > 50, `${evictions} evictions`)
    })
  }

  t.test('by bytes, also for what grows, and what is too large is refused', async (t) => {
    const random = new Random()
    const { cache, backend } = await openFileCache(t, newFolder(t), { limits: { maxMemory: 20_000 } })
    const wrong: string[] = []
    for (let step = 0; step < 500; step++) {
      await cache.set(NS, `k${random.below(60)}`, entry('x'.repeat(random.below(random.chance(0.1) ? 15_000 : 500)), { strategy: random.pick(POLICIES) }))
      let bytes = 0
      for await (const outlines of backend.outline(undefined)) for (const { size } of outlines) bytes += size
      if (bytes > 20_000) wrong.push(`${bytes} at ${step}`)
    }
    t.strictSame(wrong, [], `seed ${random.seed}`)
    const before = await keysIn(cache)
    await t.rejects(Promise.resolve(cache.set(NS, before[0] as string, entry('x'.repeat(20_000)))), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 })
    t.strictSame(await keysIn(cache), before, 'nothing was evicted for it')
    await cache.set(NS, 'grows', entry('small'))
    t.equal(await cache.update('grows', async () => 'x'.repeat(20_000)), 'x'.repeat(20_000))
    t.equal(await valueIn(cache, 'grows'), undefined, 'what the origin held before is not kept either')
    cache.configure({ maxMemory: 1000 })
    t.ok((await cache.statistics()).bytes <= 1000, 'a lower limit holds at once')
  })

  t.test('what is evicted leaves the memory in front as well', async (t) => {
    const { cache, store } = await openFileCache(t, newFolder(t), { limits: { maxItems: 2 } })
    await cache.set(NS, 'a', entry(1))
    await cache.set(NS, 'b', entry(1))
    t.not(store.memory.find(NS, 'a'), -1)
    await cache.set(NS, 'c', entry(1))
    t.equal(store.memory.find(NS, 'a'), -1)
    t.equal(await cache.get(NS, 'a'), undefined)
    t.equal(cache.counters(NS).evictions, 1)
  })
})

t.test('a load that began before a deletion is not kept, however many deletions there are', async (t) => {
  const { backend, store } = await openFileCache(t, newFolder(t))
  const whole = { namespace: NS, key: 'k', dataType: 'json', tags: [], metadata: undefined, strategy: 'lru', createdAt: 0, accessedAt: 0, accessCount: 0, expiresAt: Infinity, goneAt: Infinity, version: 1, value: '1' } as const
  const stamp = await backend.stamp()
  await backend.delete(NS, 'k')
  t.equal(await backend.fill({ ...whole, stamp }), 'superseded')
  t.type(await backend.fill({ ...whole, stamp: await backend.stamp() }), 'object')
  const early = await backend.stamp()
  await Promise.all(Array.from({ length: 10_050 }, async (_, i) => await backend.delete(NS, `other${i}`)))
  for (const key of ['other0', 'other10049']) t.equal(await backend.fill({ ...whole, key, stamp: early }), 'superseded', key)
  t.type(await backend.fill({ ...whole, key: 'other0', stamp: await backend.stamp() }), 'object')
  t.ok(store.isTrusted)
})
