/** What every backend promises, over all that are registered, on real servers: a new one is held to it by being registered. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { BACKENDS } from '../../../../services/cache/backends/names.js'
import type { Cache } from '../../../../services/cache/cache.js'
import { decode, encodeText } from '../../../../services/cache/encoding.js'
import { DATA_TYPES, type DataType, type Entry, graceOf, type NewEntry } from '../../../../services/cache/entry.js'
import { LONGEST_LIFE } from '../../../../services/cache/lifetime.js'
import type { Listing } from '../../../../services/cache/stores/store.js'
import { eventually } from '../../../support/caches.js'
import { everyBackend } from './all-backends.js'

t.setTimeout(400_000) // a million things, on a busy machine

const open = await everyBackend(t)
const app = await open()
t.strictSame(app.caches.all().map(({ backend }) => backend).sort(), [...BACKENDS].sort(), 'every backend is here')

let spaces = 0
/** A namespace that nobody else uses. */
const space = (): string => `space-${++spaces}`

const entry = (value: unknown, options: Partial<NewEntry> = {}): NewEntry => ({ value: encodeText(JSON.stringify(value)), dataType: 'json', ...options })
const valueOf = (found: Entry | undefined): unknown => found === undefined ? undefined : decode(found.value)

for (const cache of app.caches.all()) await t.test(cache.backend, async (t) => { await conforms(t, cache) })

async function conforms (t: Test, cache: Cache): Promise<void> {
  const EXAMPLES: Record<DataType, unknown[]> = {
    string: ['', 'plain', 'é ü 漢字 🙂 e\u0301', '\u0000\u0001\r\n\t"\\', '\ud800', '{"not":"json"}', ' '.repeat(3)],
    json: [null, {}, [], { a: [null, { b: false }] }, 0, '', false],
    binary: ['', 'AA==', Buffer.from(Array.from({ length: 256 }, (_, i) => i)).toString('base64')],
    number: [0, -0.5, 1e308, 5e-324, Number.MAX_SAFE_INTEGER],
    boolean: [true, false],
    list: [[], [1, 'two', null, [3]]],
    dictionary: [{}, { 10: 'ten', 9: 'nine', 'é:\n': { deep: [1] } }]
  }

  await t.test('every data type comes back byte for byte, falsy values and unicode included', async (t) => {
    const ns = space()
    for (const dataType of DATA_TYPES) {
      for (const [at, value] of EXAMPLES[dataType].entries()) {
        const key = `${dataType}:${at}`
        const given = entry(value, { dataType, metadata: '{"tags":["é"],"n":1}', tags: ['é'] })
        await cache.set(ns, key, given)
        const read = await cache.get(ns, key)
        t.ok(read !== undefined && read.value.toString() === given.value.toString(), `${key} ${JSON.stringify(value).slice(0, 40)}`)
        t.match(read, { dataType, metadata: '{"tags":["é"],"n":1}', tags: ['é'] })
      }
    }
  })

  await t.test('times up to a hundred years are kept, and no others reach the server', async (t) => {
    const ns = space()
    const long = LONGEST_LIFE
    for (const [key, options, ttl] of [['long', { ttl: long, grace: long }, long], ['ever', { ttl: 0, grace: long }, Infinity], ['infinite', { ttl: Infinity }, Infinity]] as const) {
      await cache.set(ns, key, entry(key, options))
      const found = await cache.get(ns, key)
      t.equal(Math.round(((found?.expiresAt ?? NaN) - cache.now) / 1000), ttl, key)
      t.equal(graceOf(found as Entry), 'grace' in options ? long * 1000 : 0, key)
      t.equal(await cache.getOrSet(`${ns}:${key}`, () => key, options), key)
      t.equal(await cache.getOrSet(`${ns}:${key}`, () => 'another'), key, 'it is kept')
    }
    for (const bad of [long + 1, 1e300, Number.MAX_VALUE, NaN]) {
      for (const options of [{ ttl: bad }, { ttl: 0, grace: bad }, { ttl: 1, grace: bad }, { ttl: 0, grace: -Infinity }]) {
        const fault = { code: 'ERR_INVALID_INPUT', statusCode: 400 }
        await t.rejects(async () => await cache.set(ns, 'bad', entry(1, options)), fault)
        await t.rejects(cache.getOrSet(`${ns}:bad`, () => 1, options), fault)
      }
      await t.rejects(cache.touch(ns, 'long', bad), { code: 'ERR_INVALID_INPUT' })
      t.equal(await cache.get(ns, 'bad'), undefined)
    }
    for (const over of [-1, -1e300, -Infinity]) {
      t.equal(await cache.getOrSet(`${ns}:over`, () => 1, { ttl: over }), 1)
      t.equal(await cache.getOrSet(`${ns}:over`, () => 2, { ttl: over }), 2, 'less than nothing is nothing')
    }
  })

  await t.test('values of 1 byte to 1 MB come back, and keys of 1 to 250 bytes', async (t) => {
    const ns = space()
    for (const size of [1, 100, 1023, 1024, 1025, 16_384, 65_536, 262_144, 1_000_000]) {
      const value = 'xü'.repeat(size / 3 + 1)
      await cache.set(ns, `v${size}`, entry(value))
      t.ok(valueOf(await cache.get(ns, `v${size}`)) === value, `${size} bytes`)
    }
    for (const key of ['k', 'k'.repeat(250), 'ü'.repeat(125), 'a b', ' ', 'a:b/c?d#e%f', '"\\', '🙂', 'with "quotes" and ,;|=*[]']) {
      await cache.set(ns, key, entry(key))
      t.equal(valueOf(await cache.get(ns, key)), key)
      t.equal(await cache.delete(ns, key), true)
    }
  })

  await t.test('a TTL may be 0, 0.05 s or 60 days, and is what it says', async (t) => {
    const ns = space()
    await cache.set(ns, 'brief', entry(1, { ttl: 0.05 }))
    await cache.set(ns, 'long', entry(2, { ttl: 60 * 86_400 }))
    await cache.set(ns, 'ever', entry(3, { ttl: 0 }))
    await eventually(async () => await cache.get(ns, 'brief') === undefined, 'the brief one is gone')
    const long = await cache.get(ns, 'long')
    t.ok(Math.abs((long!.expiresAt - cache.now) / 1000 - 60 * 86_400) < 5)
    t.equal((await cache.get(ns, 'ever'))?.expiresAt, Infinity)
    t.equal((await cache.list(ns, { limit: 10 })).total, 2)
    t.equal(await cache.delete(ns, 'brief'), false, 'what has expired cannot be deleted')
    t.ok(await cache.set(ns, 'brief', entry(4), { absent: true }), 'and counts as absent')
  })

  await t.test('touch gives another lifetime, and nothing else changes', async (t) => {
    const ns = space()
    const { version } = await cache.set(ns, 'k', entry('v', { ttl: 1000, tags: ['t'] }))
    t.match(await cache.touch(ns, 'k', 5000), { version, tags: ['t'] })
    const read = await cache.get(ns, 'k')
    t.ok(Math.abs((read!.expiresAt - cache.now) / 1000 - 5000) < 5)
    t.equal(read!.version, version)
    await cache.touch(ns, 'k', 0)
    t.equal((await cache.get(ns, 'k'))?.expiresAt, Infinity)
    await cache.touch(ns, 'k', 0.05)
    await eventually(async () => await cache.get(ns, 'k') === undefined, 'it expired')
    t.equal(await cache.touch(ns, 'k', 10), undefined)
  })

  await t.test('a batch of 1000 comes back in the order asked for', async (t) => {
    const ns = space()
    const keys = Array.from({ length: 1000 }, (_, i) => `k${i}`)
    await Promise.all(keys.map(async (key, i) => await cache.set(ns, key, entry({ i }))))
    const asked = [...keys].reverse().flatMap((key, i) => i % 100 === 0 ? [key, `absent${i}`, key] : [key])
    const found = await cache.getMany(ns, asked)
    t.strictSame(found.map(valueOf), asked.map((key) => key.startsWith('k') ? { i: Number(key.slice(1)) } : undefined))
    t.strictSame(await cache.deleteMany(ns, keys), keys.map(() => true))
    t.strictSame((await cache.getMany(ns, keys)).filter((found) => found !== undefined), [])
  })

  await t.test('namespaces are apart, also where one begins like another', async (t) => {
    const [a, ab, abc] = ['a', 'ab', 'ab-c'].map((name) => `${name}-${++spaces}`.slice(0, 60)) as [string, string, string]
    const long = `${a}x`
    for (const ns of [a, ab, abc, long]) for (const key of ['k', 'x:k', '-k']) await cache.set(ns, key, entry(ns, { tags: ['t'] }))
    t.equal(await cache.invalidate(a, { tags: ['t'] }), 3)
    t.equal(await cache.clear(ab, '*k'), 3)
    t.strictSame(await Promise.all([a, ab, abc, long].map(async (ns) => (await cache.list(ns, { limit: 10 })).total)), [0, 0, 3, 3])
    t.equal(valueOf(await cache.get(long, 'k')), long)
    t.equal(await cache.get(a, 'k'), undefined)
  })

  await t.test('patterns select by glob: listing, clearing and invalidating', async (t) => {
    const ns = space()
    const keys = ['user:1', 'user:2', 'user:10', 'order:1', 'a*b', 'a?b', '[x]', 'ünï']
    for (const key of keys) await cache.set(ns, key, entry(1))
    const cases: [pattern: string, matching: string[]][] = [
      ['*', keys], ['user:*', ['user:1', 'user:10', 'user:2']], ['user:?', ['user:1', 'user:2']], ['*:1', ['order:1', 'user:1']],
      ['user:[12]', ['user:1', 'user:2']], ['a\\*b', ['a*b']], ['a?b', ['a*b', 'a?b']], ['\\[x\\]', ['[x]']], ['?n?', ['ünï']], ['none*', []]
    ]
    for (const [pattern, matching] of cases) {
      const { total, entries } = await cache.list(ns, { pattern, limit: 100 })
      t.strictSame([total, entries.map(({ key }) => key).sort()], [matching.length, [...matching].sort()], pattern)
    }
    t.equal(await cache.clear(ns, 'user:?'), 2)
    t.equal(await cache.invalidate(ns, { pattern: 'a\\*b' }), 1)
    t.strictSame((await cache.list(ns, { limit: 100 })).entries.map(({ key }) => key).sort(), ['[x]', 'a?b', 'order:1', 'user:10', 'ünï'])
  })

  await t.test('tags: those that carry one go, hard or soft, and what is written after stays', async (t) => {
    const ns = space()
    const put = async (): Promise<void> => {
      await cache.set(ns, 'a', entry(1, { tags: ['x', 'y'] }))
      await cache.set(ns, 'b', entry(2, { tags: ['y'] }))
      await cache.set(ns, 'c', entry(3))
    }
    const left = async (): Promise<string> => (await cache.getMany(ns, ['a', 'b', 'c'])).map((found) => found === undefined ? '-' : found.key).join('')
    await put()
    t.equal(await cache.invalidate(ns, { tags: ['x', 'none'] }), 1)
    t.equal(await left(), '-bc')
    await put()
    t.equal(await left(), 'abc')
    t.equal(await cache.invalidate(ns, { tags: ['x', 'y'] }), 2)
    t.equal(await left(), '--c')
    await put()
    await cache.invalidate(ns, { tags: ['y'], soft: true })
    t.equal(await left(), '--c', 'a stale entry is none to who wants a fresh one')
    // What is stale is still held, and counted where it is counted as it is dropped.
    t.ok(await cache.clear(ns) >= 1)
    t.equal(await left(), '---')
  })

  await t.test('increment is atomic under 50 concurrent callers', async (t) => {
    const ns = space()
    const sums = await Promise.all(Array.from({ length: 50 }, async () => valueOf(await cache.increment(ns, 'n', 2))))
    t.strictSame(sums.sort((a, b) => Number(a) - Number(b)), Array.from({ length: 50 }, (_, i) => 2 * i + 2), 'each of them sees a sum of its own')
    t.equal(valueOf(await cache.get(ns, 'n')), 100)
    await cache.set(ns, 'text', entry('x'))
    await t.rejects(cache.increment(ns, 'text', 1), { code: 'ERR_WRONG_TYPE' })
  })

  await t.test('conditional writes: one of many wins', async (t) => {
    const ns = space()
    const first = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) => await cache.set(ns, 'k', entry(i), { absent: true })))
    t.equal(first.filter(({ status }) => status === 'fulfilled').length, 1)
    const { version } = (await cache.get(ns, 'k'))!
    const second = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) => await cache.set(ns, 'k', entry(i), { version })))
    t.equal(second.filter(({ status }) => status === 'fulfilled').length, 1)
    await t.rejects(async () => await cache.delete(ns, 'k', { version }), { code: 'ERR_PRECONDITION_FAILED' })
    t.equal(await cache.delete(ns, 'k', { version: (await cache.get(ns, 'k'))!.version }), true)
    await t.rejects(async () => await cache.set(ns, 'k', entry(1), { version }), { code: 'ERR_PRECONDITION_FAILED' })
  })

  await t.test('20 000 keys are paged by cursor while others write: none is lost, none comes twice', async (t) => {
    const ns = space()
    const keys = Array.from({ length: 20_000 }, (_, i) => `key:${i}`)
    for (let from = 0; from < keys.length; from += 100) {
      await Promise.all(keys.slice(from, from + 100).map(async (key) => await cache.set(ns, key, entry(1))))
    }
    const through = new AbortController()
    let others = 0
    const writer = (async () => {
      while (!through.signal.aborted) {
        const name = others++
        await cache.set(ns, `other:${name}`, entry(2))
        if (others % 3 === 0) await cache.delete(ns, `other:${others - 2}`)
        await nextTurn()
      }
    })()
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page: Listing = await cache.list(ns, { pattern: 'key:*', limit: 1000, cursor })
      t.equal(page.total, keys.length)
      seen.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
    } while (cursor !== undefined)
    through.abort()
    await writer
    t.ok(others > 0, `${others} others were written meanwhile`)
    t.equal(seen.length, keys.length)
    t.strictSame(new Set(seen), new Set(keys))
    let dumped = 0
    for await (const entries of cache.dump(ns, 'key:*')) dumped += entries.length
    t.ok(dumped >= keys.length)
    const began = performance.now()
    const cleared = await cache.clear(ns, 'key:*')
    const isWhole = cleared === keys.length || (cleared < keys.length && performance.now() - began > 1900)
    t.ok(isWhole, `clear counts them, as far as it comes in the two seconds that an answer waits for it: ${cleared}`)
    t.equal((await cache.list(ns, { pattern: 'key:*', limit: 1 })).total, 0)
  })

  await t.test('what is counted is what is there', async (t) => {
    const ns = space()
    for (let i = 0; i < 50; i++) await cache.set(ns, `k${i}`, entry('x'.repeat(i * 10), { tags: i % 2 === 0 ? ['even'] : [] }))
    const { items, bytes } = await cache.statistics(ns)
    const { entries } = await cache.list(ns, { limit: 100 })
    t.equal(items, 50)
    t.equal(bytes, entries.reduce((sum, { size }) => sum + size, 0))
    t.equal(await cache.invalidate(ns, { tags: ['even'] }), 25)
    t.equal((await cache.statistics(ns)).items, 25)
  })

  await t.test('reads count, peeks do not', async (t) => {
    const ns = space()
    await cache.set(ns, 'k', entry(1))
    for (const reads of [1, 2, 3]) t.equal((await cache.get(ns, 'k'))?.accessCount, reads)
    t.ok(await cache.peek(ns, 'k'))
    t.equal((await cache.get(ns, 'k'))?.accessCount, 4)
    const { hits, misses } = cache.counters(ns)
    t.strictSame([hits, misses], [4, 0])
  })
}

await t.test('closed and opened again', async (t) => {
  const ns = space()
  // One process at a time can have a folder: the app of the tests above has it.
  await app.close()
  const before = await open()
  for (const cache of before.caches.all()) {
    for (let i = 0; i < 100; i++) await cache.set(ns, `k${i}`, entry({ i }, { ttl: 600, tags: i < 50 ? ['low'] : [] }))
    await cache.delete(ns, 'k99')
    await cache.invalidate(ns, { tags: ['low'] })
    await cache.set(ns, 'k0', entry('again', { tags: ['low'] }))
  }
  await before.close()
  const after = await open()
  for (const cache of after.caches.all()) {
    await t.test(cache.backend, async (t) => {
      const found = (await cache.list(ns, { limit: 200 })).entries.map(({ key }) => key).sort()
      const expected = cache.backend === 'memory' ? [] : ['k0', ...Array.from({ length: 49 }, (_, i) => `k${i + 50}`)].sort()
      t.strictSame(found, expected, 'has what it had, and nothing that was deleted or invalidated')
      if (cache.backend === 'memory') return
      t.equal(valueOf(await cache.get(ns, 'k0')), 'again')
      t.equal(await cache.get(ns, 'k1'), undefined)
      t.equal(await cache.get(ns, 'k99'), undefined)
      t.ok(Math.abs(((await cache.get(ns, 'k60'))!.expiresAt - after.caches.get(cache.backend).now) / 1000 - 600) < 60, 'lifetimes go on')
    })
  }
})
