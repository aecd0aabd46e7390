import t, { type Test } from 'tap'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { decode, encode } from '../../../../services/cache/encoding.js'
import type { Cache } from '../../../../services/cache/cache.js'
import type { NewEntry } from '../../../../services/cache/entry.js'
import { BackendUnavailableError } from '../../../../services/cache/errors.js'
import { RecordFormat } from '../../../../services/cache/record-format.js'
import type { DurableTier, DurableWrite } from '../../../../services/cache/tiers/tier.js'
import { eventually } from '../../../support/caches.js'
import { ringOf } from '../codec/records.js'
import { type DurableCache, type DurableCacheOptions, openConnections, openDurableCache, temporaryFolder } from '../../../support/durable-caches.js'

const NS = 'default'
const entry = (value: unknown, more: Partial<NewEntry> = {}): NewEntry => ({ value: encode(value), dataType: 'json', strategy: 'write_behind', ...more })
const valueIn = async (cache: Cache, key: string): Promise<unknown> => {
  const found = await cache.get(NS, key)
  return found === undefined ? undefined : decode(found.value)
}

const connections = await openConnections(t)
const open = async (t: Test, options: DurableCacheOptions = {}): Promise<DurableCache> => await openDurableCache(t, { connections, ...options })
const drained = async ({ store }: DurableCache): Promise<void> => { await eventually(() => store.durability?.length === 0, 'everything is written', 20_000) }

/** Stands before the tier and has every write pass by a gate. */
class Gate {
  written: DurableWrite[] = []
  pass: (writes: readonly DurableWrite[]) => Promise<void> | void = () => {}

  before = (tier: DurableTier): DurableTier => new Proxy(tier, {
    get: (target, name) => {
      if (name === 'write') {
        return async (writes: readonly DurableWrite[]): Promise<void> => {
          await this.pass(writes)
          await target.write(writes)
          this.written.push(...writes)
        }
      }
      const member = Reflect.get(target, name) as unknown
      return typeof member === 'function' ? (...given: unknown[]): unknown => Reflect.apply(member, target, given) : member
    }
  })
}

t.test('writes are acknowledged while the tier is away, seen by reads, kept over a restart, and written when it is back', async (t) => {
  const gate = new Gate()
  gate.pass = () => { throw new BackendUnavailableError('away') }
  const opened = await open(t, { around: gate.before, limits: { maxItems: 2 }, closeWithin: 100 })
  for (let i = 0; i < 100; i++) await opened.cache.set(NS, `k${i}`, entry(i))
  t.equal(await opened.cache.delete(NS, 'k7'), true)
  t.equal(await opened.cache.invalidate(NS, { pattern: 'k9?' }), 10)
  for (let i = 0; i < 90; i++) t.equal(await valueIn(opened.cache, `k${i}`), i === 7 ? undefined : i)
  t.equal((await opened.cache.list(NS, { limit: 1000 })).total, 89)
  await eventually(() => opened.store.durability!.retries > 2, 'it is tried again')
  t.ok(opened.store.durability!.oldestAge > 0)
  await opened.cache.close()
  t.strictSame(gate.written, [])

  gate.pass = () => {}
  const again = await open(t, { folder: opened.folder, around: gate.before })
  for (let i = 0; i < 100; i++) t.equal(await valueIn(again.cache, `k${i}`), i === 7 || i > 89 ? undefined : i)
  await drained(again)
  t.equal((await again.cache.list(NS, { limit: 1000 })).total, 89)
  await again.cache.close()
  t.strictSame(readdirSync(join(opened.folder, 'journal')), ['identity.json'], 'what is written needs no journal')
  const last = await open(t, { folder: opened.folder })
  for (let i = 0; i < 100; i++) t.equal(await valueIn(last.cache, `k${i}`), i === 7 || i > 89 ? undefined : i)
})

t.test('a slow tier slows no acknowledgement, gets the last value of a key alone, and gets those of a key in their order', async (t) => {
  const gate = new Gate()
  let open_ = (): void => {}
  const isOpen = new Promise<void>((resolve) => { open_ = resolve })
  gate.pass = async () => { await isOpen }
  const opened = await open(t, { around: gate.before })
  await opened.cache.set(NS, 'first', entry(0))
  await delay(100) // its write is under way now
  for (let i = 0; i < 300; i++) await opened.cache.set(NS, `k${i % 3}`, entry(i))
  await opened.cache.set(NS, 'first', entry('second'))
  t.strictSame(gate.written, [])
  t.equal(opened.store.durability!.length, 5)
  t.equal(await valueIn(opened.cache, 'first'), 'second')
  open_()
  await drained(opened)
  t.strictSame(gate.written.map(({ key, entry }) => [key, decode(entry!.value)]), [['first', 0], ['k0', 297], ['k1', 298], ['k2', 299], ['first', 'second']])
})

t.test('past its bound in keys or bytes it refuses, until there is room again', async (t) => {
  for (const bounds of [{ maxEntries: 10 }, { maxBytes: 5000 }]) {
    const gate = new Gate()
    let isAway = true
    gate.pass = () => { if (isAway) throw new BackendUnavailableError('away') }
    const opened = await open(t, { around: gate.before, bounds })
    let accepted = 0
    const refusals: unknown[] = []
    await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      try {
        await opened.cache.set(NS, `k${i}`, entry('x'.repeat(200)))
        accepted++
      } catch (error) {
        refusals.push(error)
      }
    }))
    t.equal(accepted, 10)
    t.match(refusals[0], { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503, message: /CACHE_WRITE_BEHIND_MAX_ENTRIES/ })
    await opened.cache.set(NS, 'k0', entry('y'), undefined)
    t.equal(await valueIn(opened.cache, 'k0'), 'y', 'a key that waits already takes no more room')
    t.equal((await opened.cache.set(NS, 'plain', entry(1, { strategy: 'lru' }))).value, '1', 'ordinary entries are not concerned')
    isAway = false
    await drained(opened)
    await opened.cache.set(NS, 'k99', entry(99))
    t.equal(await valueIn(opened.cache, 'k99'), 99)
  }
})

t.test('an entry that the tier refuses is set aside and reported, and holds up no other', async (t) => {
  const gate = new Gate()
  gate.pass = (writes) => { if (writes.some(({ key }) => key === 'poison')) throw Object.assign(new Error('violates check constraint'), { code: '23514' }) }
  const opened = await open(t, { around: gate.before })
  for (const key of ['a', 'poison', 'b', 'c']) await opened.cache.set(NS, key, entry(key))
  await eventually(() => gate.written.length === 3, 'the others are written')
  t.strictSame(gate.written.map(({ key }) => key), ['a', 'b', 'c'])
  await eventually(() => opened.store.durability!.setAside === 1, 'it is set aside', 20_000)
  t.equal(readdirSync(join(opened.folder, 'journal', 'refused')).length, 1)
  t.match(opened.faults.map(String), [/refused a change of write_behind 5 times: it was put into/])
  await drained(opened)
  await opened.cache.set(NS, 'd', entry('d'))
  await drained(opened)
  t.equal(gate.written.at(-1)!.key, 'd')
})

t.test('a journal in which most is replaced is written anew, and loses nothing', async (t) => {
  const gate = new Gate()
  gate.pass = () => { throw new BackendUnavailableError('away') }
  const opened = await open(t, { around: gate.before, closeWithin: 0 })
  await opened.cache.set(NS, 'stays', entry('stays', { tags: ['t'] }))
  await opened.cache.set(NS, 'goes', entry('goes', { tags: ['t'] }))
  await opened.cache.delete(NS, 'goes')
  await opened.cache.set(NS, 'falls', entry('falls', { tags: ['u'] }))
  const falling = opened.cache.invalidate(NS, { tags: ['u'] })
  const big = 'x'.repeat(1_000_000)
  for (let i = 0; i < 80; i++) await opened.cache.set(NS, 'k', entry(`${i}${big}`))
  await eventually(() => opened.store.durability!.journalBytes < 60_000_000, 'it is small again')
  t.equal(await falling, 1)
  await opened.cache.close()
  gate.pass = () => {}
  const again = await open(t, { folder: opened.folder, around: gate.before })
  t.equal(await valueIn(again.cache, 'stays'), 'stays')
  for (const key of ['goes', 'falls']) t.equal(await valueIn(again.cache, key), undefined)
  t.equal(await valueIn(again.cache, 'k'), `79${big}`)
  await drained(again)
})

t.test('what is to be encrypted is so in the journal and in the tier, and is read again with its key alone', async (t) => {
  const secret = 'a secret of forty characters, or so it is'
  const keys = await ringOf()
  const format = (): RecordFormat => new RecordFormat({ purpose: 'memory:durable', encryption: true, keys })
  const gate = new Gate()
  gate.pass = () => { throw new BackendUnavailableError('away') }
  const folder = temporaryFolder(t)
  const opened = await open(t, { connections: undefined, folder, format: format(), around: gate.before, closeWithin: 0 })
  await opened.cache.set(NS, 'k', entry(secret, { metadata: JSON.stringify({ secret }) }))
  await opened.cache.close()
  const files = (): string[] => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((file) => file.isFile()).map((file) => join(file.parentPath, file.name))
  const showing = (): string[] => files().filter((file) => readFileSync(file).includes('secret of forty'))
  t.ok(files().some((file) => file.endsWith('.journal')))
  t.strictSame(showing(), [])
  gate.pass = () => {}
  const again = await open(t, { connections: undefined, folder, format: format(), around: gate.before })
  t.equal(await valueIn(again.cache, 'k'), secret)
  await drained(again)
  await again.cache.close()
  t.strictSame(showing(), [])
  const last = await open(t, { connections: undefined, folder, format: format() })
  t.equal(await valueIn(last.cache, 'k'), secret)
  await last.cache.close()
  const stranger = await open(t, { connections: undefined, folder, format: new RecordFormat({ purpose: 'memory:durable', encryption: true, keys: await ringOf() }) })
  t.equal(await valueIn(stranger.cache, 'k'), undefined)
})

t.test('a value that was written through is not overwritten by what the journal still has of the key', async (t) => {
  const gate = new Gate()
  const opened = await open(t, { around: gate.before, closeWithin: 0 })
  const isBehind = (writes: readonly DurableWrite[]): boolean => writes.some(({ entry }) => entry?.strategy !== 'write_through')
  gate.pass = (writes) => { if (isBehind(writes)) throw new BackendUnavailableError('away') }
  await opened.cache.set(NS, 'k', entry('behind'))
  await opened.cache.set(NS, 'other', entry('other'))
  await opened.cache.set(NS, 'k', entry('through', { strategy: 'write_through' }))
  t.equal(await valueIn(opened.cache, 'k'), 'through')
  await opened.cache.close()
  gate.pass = () => {}
  const again = await open(t, { folder: opened.folder, around: gate.before })
  await drained(again)
  await again.cache.close()
  const last = await open(t, { folder: opened.folder })
  t.equal(await valueIn(last.cache, 'k'), 'through')
  t.equal(await valueIn(last.cache, 'other'), 'other')
})

for (const { tier, ...options } of [{ tier: 'the database' }, { tier: 'files', connections: undefined }]) {
  t.test(`what was written through outlives what the journal still has of the key, over ${tier}`, async (t) => {
    const gate = new Gate()
    const opened = await open(t, { ...options, around: gate.before, closeWithin: 0 })
    const through = (value: unknown): NewEntry => entry(value, { strategy: 'write_through' })
    await opened.cache.set(NS, 'replaced', entry('old'))
    await opened.cache.set(NS, 'deleted', through('old'))
    await opened.cache.delete(NS, 'deleted')
    await drained(opened)
    const refuseBehind = (writes: readonly DurableWrite[]): void => { if (writes.some(({ entry }) => entry?.strategy !== 'write_through')) throw new BackendUnavailableError('away') }
    gate.pass = refuseBehind
    await opened.cache.set(NS, 'open', entry('so that the journal stays'))
    await opened.cache.set(NS, 'replaced', through('new'))
    await opened.cache.set(NS, 'deleted', through('anew'))
    await opened.cache.close()

    const again = await open(t, { ...options, folder: opened.folder, around: gate.before, closeWithin: 0 })
    t.equal(await valueIn(again.cache, 'replaced'), 'new')
    t.equal(await valueIn(again.cache, 'deleted'), 'anew')
    t.equal(again.store.durability?.length, 1)
    gate.pass = () => {}
    await drained(again)
    t.equal(await valueIn(again.cache, 'replaced'), 'new')
    t.equal(await valueIn(again.cache, 'deleted'), 'anew')
    t.equal(await again.cache.delete(NS, 'deleted'), true)
    await again.cache.close()
    const last = await open(t, { ...options, folder: opened.folder })
    t.equal(await valueIn(last.cache, 'replaced'), 'new')
    t.equal(await valueIn(last.cache, 'deleted'), undefined)
    t.strictSame([...opened.faults, ...again.faults, ...last.faults], [])
  })
}

t.test('a deletion reaches a write that was given up and came through after all', async (t) => {
  let late: (() => Promise<void>) | undefined
  const around = (tier: DurableTier): DurableTier => new Proxy(tier, {
    get: (target, name) => {
      const member = Reflect.get(target, name) as unknown
      if (typeof member !== 'function') return member
      if (name !== 'write') return member.bind(target) as unknown
      return async (...given: unknown[]): Promise<unknown> => {
        const call = async (): Promise<unknown> => await Reflect.apply(member, target, given) as unknown
        if (late !== undefined) return await call()
        late = async () => { await call() }
        throw new BackendUnavailableError('too late')
      }
    }
  })
  const opened = await open(t, { around })
  await t.rejects(opened.cache.set(NS, 'k', entry(1, { strategy: 'write_through' })) as Promise<unknown>, { code: 'ERR_BACKEND_UNAVAILABLE' })
  t.equal(await valueIn(opened.cache, 'k'), undefined)
  await late?.()
  t.equal(await opened.cache.delete(NS, 'k'), true)
  await opened.cache.close()
  const again = await open(t, { folder: opened.folder })
  t.equal(await valueIn(again.cache, 'k'), undefined)
})

t.test('a journal whose folder has lost its identity is played, and what comes then is newer', async (t) => {
  const gate = new Gate()
  gate.pass = () => { throw new BackendUnavailableError('away') }
  let opened = await open(t, { around: gate.before, closeWithin: 0 })
  await opened.cache.close()
  opened = await open(t, { folder: opened.folder, around: gate.before, closeWithin: 0 })
  await opened.cache.set(NS, 'k', entry('old'))
  await opened.cache.set(NS, 'other', entry('other'))
  await opened.cache.set(NS, 'cleared', entry('gone', { tags: ['t'] }))
  await opened.cache.close()
  opened = await open(t, { folder: opened.folder, around: gate.before, closeWithin: 0 })
  await opened.cache.set(NS, 'k', entry('older'))
  await opened.cache.close()
  rmSync(join(opened.folder, 'journal', 'identity.json'))
  gate.pass = () => {}

  // Nothing has been left in the folder as far as it tells: it is opened with the first durable entry.
  const again = await open(t, { folder: opened.folder, around: gate.before })
  await again.cache.set(NS, 'first', entry('first'))
  await again.cache.set(NS, 'k', entry('new'))
  await again.cache.invalidate(NS, { tags: ['t'] })
  t.equal(await valueIn(again.cache, 'k'), 'new')
  await drained(again)
  t.equal(await valueIn(again.cache, 'other'), 'other')
  await again.cache.close()
  const last = await open(t, { folder: opened.folder })
  t.strictSame(await Promise.all(['k', 'other', 'cleared'].map(async (key) => await valueIn(last.cache, key))), ['new', 'other', undefined])
})
