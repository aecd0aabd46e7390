import { Redis } from 'ioredis'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import t from 'tap'
import type { Cache } from '../../../services/cache/cache.js'
import type { KeyRing } from '../../../services/cache/codec/key-ring.js'
import { encode } from '../../../services/cache/encoding.js'
import { RecordFormat } from '../../../services/cache/record-format.js'
import { openSharedCache, startDatabaseCaches, type OpenCache } from '../../support/caches.js'
import { databaseUrl, type Owner, redisUrl } from '../../support/servers.js'
import { ringOf } from './codec/records.js'
import { entryOf as entry } from './setup.js'

const NS = 'default'
const textOf = async (cache: Cache, key: string, namespace = NS): Promise<string | undefined> => (await cache.get(namespace, key))?.value.toString()
const product = (at: number): object => ({ id: at, name: `product ${at}`, description: 'a description that is much like the others' })

/** A server, the bytes that it holds, and a way to meddle with them. */
interface Stored {
  open: OpenCache
  /** Everything there is, as bytes. */
  dump: () => Promise<Buffer>
  swap: (one: [namespace: string, key: string], other: [namespace: string, key: string]) => Promise<void>
  /** Changes the last byte of a value. */
  damage: (namespace: string, key: string) => Promise<void>
}

async function inRedis (owner: Owner): Promise<Stored> {
  const url = await redisUrl(owner)
  const client = new Redis(url)
  owner.teardown(() => { client.disconnect() })
  const nameOf = (namespace: string, key: string): string => `larder:test:entry:${namespace}:${key}`
  return {
    open: async (owner, options) => await openSharedCache(owner, url, options),
    dump: async () => {
      const parts: Buffer[] = []
      for (const key of await client.keysBuffer('*')) {
        parts.push(key, ...await client.type(key) === 'hash' ? Object.entries(await client.hgetallBuffer(key)).flatMap(([name, value]) => [Buffer.from(name), value]) : [await client.getBuffer(key) as Buffer])
      }
      return Buffer.concat(parts)
    },
    swap: async (one, other) => {
      const [a, b] = await client.mgetBuffer(nameOf(...one), nameOf(...other))
      await client.mset(nameOf(...one), b as Buffer, nameOf(...other), a as Buffer)
    },
    damage: async (namespace, key) => {
      const record = await client.getBuffer(nameOf(namespace, key)) as Buffer
      await client.setrange(nameOf(namespace, key), record.length - 1, Buffer.from([record[record.length - 1]! ^ 1]))
    }
  }
}

async function inDatabase (owner: Owner): Promise<Stored> {
  const url = await databaseUrl(owner)
  const pool = new pg.Pool({ connectionString: url, max: 1 })
  owner.teardown(() => pool.end())
  const where = 'cache = \'test\' AND namespace = $1 AND key = $2'
  return {
    open: await startDatabaseCaches(owner, url),
    dump: async () => {
      const parts: Buffer[] = []
      for (const table of ['cache_entries', 'cache_counters', 'cache_invalidations']) {
        const { rows } = await pool.query<Record<string, unknown>>(`SELECT * FROM ${table}`)
        for (const value of rows.flatMap((row) => Object.values(row))) parts.push(Buffer.isBuffer(value) ? value : Buffer.from(String(value)))
      }
      return Buffer.concat(parts)
    },
    swap: async (one, other) => {
      const read = async ([namespace, key]: [string, string]): Promise<Record<string, unknown>> =>
        (await pool.query<Record<string, unknown>>(`SELECT head, value FROM cache_entries WHERE ${where}`, [namespace, JSON.stringify(key)])).rows[0]!
      const [a, b] = [await read(one), await read(other)]
      for (const [[namespace, key], row] of [[one, b], [other, a]] as const) {
        await pool.query(`UPDATE cache_entries SET head = $3, value = $4 WHERE ${where}`, [namespace, JSON.stringify(key), row['head'], row['value']])
      }
    },
    damage: async (namespace, key) => {
      await pool.query(`UPDATE cache_entries SET value = set_byte(value, octet_length(value) - 1, 255 - get_byte(value, octet_length(value) - 1)) WHERE ${where}`, [namespace, JSON.stringify(key)])
    }
  }
}

for (const [kind, start] of Object.entries({ redis: inRedis, database: inDatabase })) {
  void t.test(kind, async (t) => {
    const { open, dump, swap, damage } = await start(t)
    const formatWith = (keys: KeyRing, options: object = {}): RecordFormat => new RecordFormat({ keys, purpose: kind, encryption: true, compression: true, ...options })
    const keys = await ringOf()
    const writer = await open(t, { format: formatWith(keys) })
    /** Another process, which has nothing in memory. */
    const reader = async (format = formatWith(keys)): Promise<Cache> => (await open(t, { format })).cache

    await t.test('a dump shows no value, tag or metadata', async (t) => {
      for (const [at, length] of [1, 200, 20_000].entries()) {
        await writer.cache.set(NS, `plain-key-${at}`, entry(`SECRET-VALUE ${'SECRET '.repeat(length)}`, { tags: ['SECRET-TAG'], metadata: '{"tags":["SECRET-TAG"],"of":"SECRET-META"}' }))
      }
      await writer.cache.set(NS, 'plain-key-binary', { value: encode(Buffer.from('SECRET-BYTES').toString('base64')), dataType: 'binary' })
      const bytes = await dump()
      t.not(bytes.indexOf('plain-key-2'), -1, 'keys are there, as patterns need them')
      for (const text of ['SECRET', Buffer.from('SECRET-BYTES').toString('base64').slice(0, 12)]) t.equal(bytes.indexOf(text), -1, text)
      const other = await reader()
      t.equal((await other.get(NS, 'plain-key-2'))?.value.length, 'SECRET '.length * 20_000 + 15)
      t.match(await other.get(NS, 'plain-key-0'), { tags: ['SECRET-TAG'], metadata: /SECRET-META/ })
      t.equal(await textOf(other, 'plain-key-binary'), '"U0VDUkVULUJZVEVT"')
      t.equal(await writer.cache.invalidate(NS, { tags: ['SECRET-TAG'] }), 3, 'an invalidation finds sealed tags')
    })

    await t.test('what was swapped or tampered with is a miss, is counted, and spoils no listing', async (t) => {
      for (const key of ['a', 'b', 'c', 'd']) await writer.cache.set(NS, key, entry(key, { tags: [key] }))
      for (const key of ['a', 'e']) await writer.cache.set('other', key, entry('other'))
      await swap([NS, 'a'], [NS, 'b'])
      await swap([NS, 'c'], ['other', 'a'])
      await damage('other', 'e')
      const other = await reader()
      for (const key of ['a', 'b', 'c']) t.equal(await textOf(other, key), undefined, key)
      for (const key of ['a', 'e']) t.equal(await textOf(other, key, 'other'), undefined)
      t.equal(await textOf(other, 'd'), '"d"')
      t.strictSame((await other.getMany(NS, ['a', 'd', 'b'])).map((found) => found?.key), [undefined, 'd', undefined])
      t.equal(other.counters(NS).unreadable, 5)
      t.equal(other.counters('other').unreadable, 2)
      t.equal(other.counters().unreadable, 7)
      const { entries } = await other.list(NS, { pattern: '[abcd]', limit: 10 })
      t.ok(entries.some(({ key }) => key === 'd'))
      t.notOk(entries.some(({ key }) => key === 'a' || key === 'b'), 'whose tags cannot be read is not listed')
      t.ok((await other.statistics()).items > 0)
      t.equal(await other.getOrSet('a', () => 'loaded'), 'loaded')
      await other.set(NS, 'a', entry('new'))
      t.equal(await textOf(await reader(), 'a'), '"new"', 'and can be written again')
      const swept = await open(t, { format: formatWith(await ringOf()) })
      t.equal((await swept.cache.list(NS, { limit: 1 })).total, 0, 'without the key there is nothing to be seen')
      t.ok(await swept.cache.clear(NS) >= entries.length, 'and what there is can be cleared')
      t.equal(await textOf(await reader(), 'd'), undefined)
    })

    await t.test('keys rotate without a miss: the new one reads the old, then writes, then stands alone', async (t) => {
      const [old, fresh] = [randomBytes(32), randomBytes(32)]
      const [before, also, during, afterwards] = await Promise.all([[old], [old, fresh], [fresh, old], [fresh]].map(async (ring) => await reader(formatWith(await ringOf(...ring))))) as [Cache, Cache, Cache, Cache]
      await before.set(NS, 'first', entry(1))
      t.equal(await textOf(also, 'first'), '1', 'every process learns the new key')
      t.equal(await textOf(during, 'first'), '1', 'then it comes first')
      await during.set(NS, 'second', entry(2))
      t.equal(await textOf(also, 'second'), '2', 'in one process after the other')
      t.equal(await textOf(afterwards, 'second'), '2', 'then the old one goes')
      t.equal(await textOf(afterwards, 'first'), undefined, 'and with it what it sealed')
      t.equal(afterwards.counters().unreadable, 1)
      t.equal(await textOf(before, 'second'), undefined, 'who does not know the new one has a miss')
    })

    await t.test('settings change while running, and nothing that is cached is lost', async (t) => {
      const value = Array.from({ length: 200 }, (_, at) => product(at))
      const changing = await open(t, { format: formatWith(keys, { encryption: false, compression: false }) })
      const switches = [{}, { compression: true }, { encryption: true }, { compression: false }, { encryption: false }]
      const lengths: number[] = []
      for (const [at, atRest] of switches.entries()) {
        changing.backend.format.configure(atRest)
        const { size } = await changing.cache.set(NS, `mixed-${at}`, entry(value, { tags: ['mixed'] }))
        lengths.push(size)
      }
      t.ok(lengths[1]! < lengths[0]! / 4 && lengths[2] === lengths[1]! + 16 && lengths[3] === lengths[0]! + 16 && lengths[4] === lengths[0], `sizes are those of what is stored: ${lengths.join(', ')}`)
      const other = await reader()
      for (const at of switches.keys()) t.equal(await textOf(other, `mixed-${at}`), JSON.stringify(value))
      t.equal(await other.invalidate(NS, { tags: ['mixed'] }), switches.length)
    })

    await t.test('a size is the same whoever tells it', async (t) => {
      const value = Array.from({ length: 100 }, (_, at) => product(at))
      const { size } = await writer.cache.set('sizes', 'k', entry(value, { tags: ['a'], metadata: '{}' }))
      const other = await reader()
      t.equal((await other.get('sizes', 'k'))?.size, size, 'from the backend')
      t.equal((await other.get('sizes', 'k'))?.size, size, 'from memory')
      t.equal((await writer.cache.get('sizes', 'k'))?.size, size, 'from the memory of the writer')
      t.equal((await other.list('sizes', { limit: 1 })).entries[0]?.size, size, 'in a listing')
      t.equal((await other.statistics('sizes')).bytes, size, 'in the statistics')
      t.equal((await other.touch('sizes', 'k', 60))?.size, size, 'after a touch')
      t.ok(size < JSON.stringify(value).length / 2)
      const counter = await writer.cache.increment('sizes', 'n', 5)
      t.equal((await writer.cache.increment('sizes', 'n', 1000)).size, counter.size + 3)
      t.equal((await other.get('sizes', 'n'))?.size, counter.size + 3)
    })

    await t.test('a sealed entry can be touched, counted on, and written under a condition', async (t) => {
      const { version } = await writer.cache.set(NS, 'lives', entry('on', { ttl: 5 }))
      await writer.cache.touch(NS, 'lives', 500)
      const other = await reader()
      const found = await other.get(NS, 'lives')
      t.ok(found!.expiresAt - other.now > 400_000)
      t.equal(found!.version, version)
      await t.rejects(Promise.resolve(other.set(NS, 'lives', entry('x'), { absent: true })), { code: 'ERR_PRECONDITION_FAILED' })
      await other.set(NS, 'lives', entry('y'), { version })
      t.equal(await textOf(await reader(), 'lives'), '"y"')
    })

    await t.test('changes of a key keep their order, though large ones take longer to be packed', async (t) => {
      const large = Array.from({ length: 20_000 }, (_, at) => product(at))
      for (let round = 0; round < 5; round++) {
        const { cache } = writer
        await Promise.all([
          ...[large, 'small', large].map(async (value) => await cache.set(NS, 'ordered', entry(value))),
          (async () => await cache.delete(NS, 'ordered'))(),
          ...[large, round].map(async (value) => await cache.set(NS, 'ordered', entry(value)))
        ])
        t.equal(await textOf(await reader(), 'ordered'), String(round))
      }
      const [write, removal] = [writer.cache.set(NS, 'ordered', entry(large)), writer.cache.delete(NS, 'ordered')]
      await write
      await removal
      t.equal(await textOf(await reader(), 'ordered'), undefined)
    })
  })
}
