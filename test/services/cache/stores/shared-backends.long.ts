import t from 'tap'
import type { Cache } from '../../../../services/cache/cache.js'
import { decode } from '../../../../services/cache/encoding.js'
import {
  eventually, openFileCache, openSharedCache, startDatabaseCaches, startMemcachedCaches, type OpenCache, type OpenedCache
} from '../../../support/caches.js'
import { databaseUrl, type Owner, redisUrl } from '../../../support/servers.js'
import { temporaryFolder } from '../../../support/temporary-folder.js'
import { entryOf as entry, heldLoader, valueIn } from '../setup.js'

const NS = 'default'

/** With deadlines that a busy machine keeps, since none of this is about outages. */
const patient = (open: OpenCache): OpenCache => async (owner, options) => await open(owner, { deadline: 2000, ...options })

/** What every shared backend promises, over a new and empty server of each kind. Each cache opened is to the others what a process is. */
const kinds: Record<string, (owner: Owner) => Promise<OpenCache>> = {
  redis: async (owner) => {
    const url = await redisUrl(owner)
    return patient(async (owner, options) => await openSharedCache(owner, url, options))
  },
  database: async (owner) => await startDatabaseCaches(owner),
  'memcached over redis': async (owner) => patient(await startMemcachedCaches(owner)),
  'memcached over database': async (owner) => patient(await startMemcachedCaches(owner, { over: { database: await databaseUrl(owner) } })),
  // For one process: whoever opens it anew in a test is the same one.
  file: async (owner) => {
    const folder = temporaryFolder(owner)
    let opened: Promise<OpenedCache> | undefined
    return async (_owner, options) => await (opened ??= openFileCache(owner, folder, options))
  }
}
/** Those that several processes share. */
const shared = ['redis', 'database', 'memcached over redis', 'memcached over database']

for (const [kind, start] of Object.entries(kinds)) {
  const isShared = shared.includes(kind)
  t.test(kind, async (t) => {
    t.test('what one process writes', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]

      t.test('the others read, with its type, tags, metadata, lifetime and version', async (t) => {
        const written = await a.cache.set(NS, 'whole', entry({ café: ['ü', 1] }, { ttl: 60, tags: ['x', 'y'], metadata: '{"tags":["x","y"],"n":1}', strategy: 'lru' }))
        const read = await b.cache.get(NS, 'whole')
        t.ok(read)
        const { accessedAt: _, accessCount, expiresAt, createdAt, goneAt: __, ...facts } = read!
        const { accessedAt: _a, accessCount: _b, expiresAt: expected, createdAt: created, goneAt: _c, ...rest } = written
        t.strictSame(facts, rest)
        t.equal(accessCount, 1)
        t.ok(Math.abs(expiresAt - expected) < 50, 'the lifetime is that of the writer')
        t.ok(Math.abs(createdAt - created) < 50)
      })

      t.test('replaces what they hold in memory', async (t) => {
        await a.cache.set(NS, 'k', entry(1))
        t.equal(await valueIn(b.cache, 'k'), 1)
        await eventually(async () => {
          await b.cache.get(NS, 'k')
          return !(b.cache.peek(NS, 'k') instanceof Promise)
        }, 'B answers from memory')
        await a.cache.set(NS, 'k', entry(2))
        t.equal(await valueIn(a.cache, 'k'), 2, 'the writer sees it at once')
        await eventually(async () => await valueIn(b.cache, 'k') === 2, 'B sees the new value')
      })

      if (isShared) {
        t.test('expires for all of them, whatever their clocks say', async (t) => {
          const ahead = await open(t, {
            now: () => Date.now() + 3_600_000
          })
          await a.cache.set(NS, 'timed', entry(1, { ttl: 30 }))
          const seen = await ahead.cache.get(NS, 'timed')
          t.ok(seen, 'a reader whose clock is an hour ahead still sees it')
          const left = (seen!.expiresAt - (Date.now() + 3_600_000)) / 1000
          t.ok(left > 29 && left <= 30.1, `and gives it ${left} s, not an hour less`)
          await a.cache.set(NS, 'brief', entry(1, { ttl: 0.05 }))
          await eventually(async () => await ahead.cache.get(NS, 'brief') === undefined, 'it is gone for the reader')
        })
      }

      t.test('counts its readers in every process', async () => {
        await a.cache.set(NS, 'counted', entry(1))
        for (let i = 0; i < 3; i++) await b.cache.get(NS, 'counted')
        await eventually(async () => {
          const [listed] = (await a.cache.list(NS, { pattern: 'counted', limit: 1 })).entries
          return listed?.accessCount === 3
        }, 'the reads of B reach the entry')
      })
    })

    t.test('an invalidation', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]
      const put = async (): Promise<void> => {
        await a.cache.set(NS, 'user:1', entry('one', { tags: ['user'] }))
        await a.cache.set(NS, 'user:2', entry('two', { tags: ['user', 'vip'] }))
        await a.cache.set(NS, 'order:1', entry('order'))
        for (const key of ['user:1', 'user:2', 'order:1']) await b.cache.get(NS, key)
      }
      const left = async (cache: Cache): Promise<string[]> => {
        const found = await Promise.all(['user:1', 'user:2', 'order:1'].map(async (key) => await valueIn(cache, key) === undefined ? [] : [key]))
        return found.flat()
      }

      const cases: [name: string, act: () => Promise<number>, removed: number, left: string[]][] = [
        ['by tag', async () => await a.cache.invalidate(NS, { tags: ['user'] }), 2, ['order:1']],
        ['by several tags', async () => await a.cache.invalidate(NS, { tags: ['vip', 'none'] }), 1, ['user:1', 'order:1']],
        ['by pattern', async () => await a.cache.invalidate(NS, { pattern: 'user:[1]' }), 1, ['user:2', 'order:1']],
        ['of everything', async () => await a.cache.clear(NS), 3, []]
      ]
      for (const [name, act, removed, remaining] of cases) {
        t.test(name, async (t) => {
          await put()
          t.equal(await act(), removed, 'counts what fell to it')
          t.strictSame(await left(a.cache), remaining, 'holds here at once')
          await eventually(async () => JSON.stringify(await left(b.cache)) === JSON.stringify(remaining), 'B agrees')
          await put()
          t.strictSame(await left(a.cache), ['user:1', 'user:2', 'order:1'], 'does not concern what is written after it')
          t.strictSame(await left(b.cache), ['user:1', 'user:2', 'order:1'])
        })
      }

      if (isShared) {
        t.test('reaches a process that starts later', async (t) => {
          await a.cache.set(NS, 'old', entry(1, { tags: ['gone'] }))
          await a.backend.invalidate(NS, { tags: ['gone'] }) // as if the process that recorded it had died before its sweep
          const late = await open(t)
          t.equal(await valueIn(late.cache, 'old'), undefined)
        })
      }

      t.test('counts what could be seen until then, not what was stale already', async (t) => {
        await a.cache.getOrSet('soft:1', () => 1, { tags: ['soft'], grace: 600 })
        await a.cache.getOrSet('soft:2', () => 2, { tags: ['soft'], grace: 600 })
        await a.store.outdate(NS, { pattern: 'soft:1', soft: true })
        t.equal(await valueIn(a.cache, 'soft:1'), undefined, 'it is stale')
        await a.cache.set(NS, 'soft:3', entry(3, { ttl: 0.05, grace: 600, tags: ['soft'] }))
        await eventually(async () => await valueIn(a.cache, 'soft:3') === undefined, 'that one too, by its TTL')
        t.equal(await a.cache.invalidate(NS, { tags: ['soft'] }), 1)
        const left: string[] = []
        for await (const entries of a.backend.scan(NS)) left.push(...entries.map(({ key }) => key).filter((key) => key.startsWith('soft:')))
        t.strictSame(left, [], 'all of them have gone')
      })

      t.test('concerns its own namespace, also of names that begin alike', async (t) => {
        await a.cache.set('n', 'k', entry(1, { tags: ['t'] }))
        await a.cache.set('nn', 'k', entry(2, { tags: ['t'] }))
        await a.cache.set('n', 'n:k', entry(3))
        t.equal(await a.cache.invalidate('n', { tags: ['t'] }), 1)
        t.ok(await a.cache.peek('nn', 'k'))
        t.equal(await a.cache.clear('n'), 1)
        t.ok(await a.cache.peek('nn', 'k'))
      })

      t.test('is forgotten once nothing can fall to it', async (t) => {
        const brief = await (isShared ? open : await start(t))(t, { retireAfter: 50 })
        for (let i = 0; i < 20; i++) await brief.cache.invalidate(NS, { tags: [`tag-${i}`] })
        await eventually(async () => {
          const inForce = await brief.backend.inForce()
          return !inForce.some(({ what }) => what.tags?.[0]?.startsWith('tag-'))
        }, 'the markers are withdrawn')
      })
    })

    t.test('a load under way in one process is not kept when another', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]
      const changes: [name: string, act: (key: string) => Promise<unknown>][] = [
        ['deletes the key', async (key) => await b.cache.delete(NS, key)],
        ['forgets the key', async (key) => { await b.cache.forget(key) }],
        ['writes the key', async (key) => await b.cache.set(NS, key, entry('new'))],
        ['updates the origin of the key', async (key) => await b.cache.update(key, async () => 'new')],
        ['invalidates its tag', async () => await b.cache.invalidate(NS, { tags: ['load'] })],
        ['invalidates a pattern it matches', async () => await b.cache.invalidate(NS, { pattern: 'load:*' })],
        ['clears the namespace', async () => await b.cache.clear(NS)]
      ]
      for (const [number, [name, act]] of changes.entries()) {
        t.test(name, async (t) => {
          const key = `load:${number}`
          const { loader, begun, release } = heldLoader('old')
          const reading = a.cache.read(key, loader, { tags: ['load'] })
          await begun
          await act(key)
          release()
          t.equal((await reading).value, 'old', 'who waited for it gets it')
          t.not(await valueIn(b.cache, key), 'old', 'who made the change never meets the value from before it')
          // A hears of an invalidation from the announcement: until then it may hold the value, and no longer.
          await eventually(async () => await valueIn(a.cache, key) !== 'old', 'nor does A, once it has heard of the change')
          const again = await a.cache.read(key, () => 'new')
          t.equal(again.value, 'new')
        })
      }
    })

    t.test('an update in one process is not kept when another', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]
      const changes: [name: string, act: () => Promise<unknown>][] = [
        ['invalidates its tag', async () => await b.cache.invalidate(NS, { tags: ['u'] })],
        ['updates it too, and ends first', async () => await b.cache.update('u', async () => 'newer', { tags: ['u'] })],
        ['deletes it', async () => { await b.cache.forget('u') }]
      ]
      for (const [name, act] of changes) {
        t.test(name, async (t) => {
          const { loader, begun, release } = heldLoader('older')
          const updating = a.cache.update('u', loader, { tags: ['u'] })
          await begun
          await act()
          release()
          t.equal(await updating, 'older', 'who asked for it gets it')
          t.not(await valueIn(a.cache, 'u'), 'older')
          await eventually(async () => await valueIn(b.cache, 'u') !== 'older', 'nor does B have it')
        })
      }

      t.test('an update keeps loads that began before it from bringing the old value', async (t) => {
        const { loader, begun, release } = heldLoader('old')
        const reading = b.cache.read('w', loader)
        await begun
        await a.cache.update('w', async () => 'new')
        release()
        await reading
        t.equal(await valueIn(a.cache, 'w'), 'new')
        await eventually(async () => await valueIn(b.cache, 'w') === 'new', 'B has the new one')
      })
    })

    t.test('what is read while a key changes is not kept', async (t) => {
      const open = await start(t)
      const { cache } = await open(t)
      const changes: Record<string, (key: string) => unknown> = {
        delete: (key) => cache.delete(NS, key),
        set: (key) => cache.set(NS, key, entry('new')),
        update: (key) => cache.update(key, async () => 'new', {})
      }
      for (const [name, change] of Object.entries(changes)) {
        for (let round = 0; round < 30; round++) {
          const key = `${name}${round}`
          await cache.set(NS, key, entry('old'))
          const progress = { isOver: false }
          const changing = Promise.resolve(change(key)).finally(() => { progress.isOver = true })
          const reads: unknown[] = []
          while (!progress.isOver) {
            reads.push(cache.get(NS, key))
            await new Promise((resolve) => { setImmediate(resolve) })
          }
          await changing
          t.not(await valueIn(cache, key), 'old', `${name}: not read after it`)
          await Promise.all(reads)
          t.not(await valueIn(cache, key), 'old', `${name}: nor kept`)
        }
      }
    })

    t.test('writes that race', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]

      t.test('on one condition: one wins', async (t) => {
        const { version } = await a.cache.set(NS, 'cas', entry(0))
        const outcomes = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) =>
          await (i % 2 === 0 ? a : b).cache.set(NS, 'cas', entry(i), { version })))
        t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
        const absent = await Promise.allSettled(Array.from({ length: 20 }, async (_, i) =>
          await (i % 2 === 0 ? a : b).cache.set(NS, 'first', entry(i), { absent: true })))
        t.equal(absent.filter(({ status }) => status === 'fulfilled').length, 1)
      })

      t.test('a fallen entry counts as absent, and no version of it matches', async (t) => {
        const { version } = await a.cache.set(NS, 'fallen', entry(0, { tags: ['f'] }))
        await b.store.outdate(NS, { tags: ['f'] }) // no sweep: the entry is still there
        await eventually(async () => await a.cache.peek(NS, 'fallen') === undefined, 'it fell')
        await t.rejects(Promise.resolve(a.cache.set(NS, 'fallen', entry(1), { version })), { code: 'ERR_PRECONDITION_FAILED' })
        t.ok(await a.cache.set(NS, 'fallen', entry(1), { absent: true }))
      })

      t.test('increments add up', async (t) => {
        await Promise.all(Array.from({ length: 60 }, async (_, i) => await (i % 2 === 0 ? a : b).cache.increment(NS, 'n', 2)))
        for (const { cache } of [a, b]) await eventually(async () => await valueIn(cache, 'n') === 120, 'both have all of them')
        t.equal(decode((await a.backend.get(NS, 'n'))!.value), 120)
      })

      t.test('are carried out in the order in which a process asks for them', async (t) => {
        await a.cache.set(NS, 'o', entry(0))
        await a.cache.delete(NS, 'o') // Redis knows the scripts from here on: a first one is sent twice
        for (let round = 0; round < 50; round++) {
          const outcomes = await Promise.all([a.cache.set(NS, 'o', entry(1)), a.cache.delete(NS, 'o'), a.cache.delete(NS, 'o'), a.cache.set(NS, 'o', entry(2)), a.cache.set(NS, 'o', entry(3))])
          t.strictSame(outcomes.slice(1, 3), [true, false])
          t.equal(decode((await b.store.latest(NS, 'o'))!.value), 3)
        }
      })

      t.test('end with both processes answering the same', async (t) => {
        for (let round = 0; round < 100; round++) {
          await Promise.all([
            a.cache.set(NS, 'race', entry(`a${round}`)), b.cache.set(NS, 'race', entry(`b${round}`)),
            a.cache.get(NS, 'race'), b.cache.get(NS, 'race')
          ])
        }
        await eventually(async () => await valueIn(a.cache, 'race') === await valueIn(b.cache, 'race'), 'they agree')
        const behind = decode((await a.backend.get(NS, 'race'))!.value)
        t.equal(await valueIn(a.cache, 'race'), behind, 'on what is behind them')
      })
    })

    t.test('lists', async (t) => {
      const open = await start(t)
      const { cache } = await open(t)
      const keys = Array.from({ length: 2500 }, (_, i) => `key:${String(i).padStart(4, '0')}`)
      for (let from = 0; from < keys.length; from += 250) {
        await Promise.all(keys.slice(from, from + 250).map(async (key, i) => await cache.set(NS, key, entry(i, { tags: i % 2 === 0 ? ['even'] : [] }))))
      }
      await cache.delete(NS, 'key:0000')

      t.test('page by cursor and by offset, without the deleted ones', async (t) => {
        const seen: string[] = []
        let cursor: string | undefined
        do {
          const page = await cache.list(NS, { pattern: 'key:*', limit: 400, cursor })
          t.equal(page.total, 2499)
          seen.push(...page.entries.map(({ key }) => key))
          cursor = page.cursor
        } while (cursor !== undefined)
        t.strictSame(seen, keys.slice(1))
        const page = await cache.list(NS, { pattern: 'key:*', limit: 3, offset: 5 })
        t.strictSame(page.entries.map(({ key }) => key), keys.slice(6, 9))
      })

      t.test('count as the statistics do', async (t) => {
        const { items, bytes } = await cache.statistics(NS)
        t.equal(items, 2499)
        const { entries } = await cache.list(NS, { limit: 2499 })
        t.equal(bytes, entries.reduce((sum, { size }) => sum + size, 0))
        t.equal(await cache.invalidate(NS, { tags: ['even'] }), 1249)
      })
    })

    t.test('reads are counted on from the backend to memory', async (t) => {
      const open = await start(t)
      const [a, b] = [await open(t), await open(t)]
      await eventually(() => b.store.isTrusted, 'it follows')
      await a.cache.set(NS, 'k', entry(1))
      for (const reads of [1, 2, 3]) t.equal((await b.cache.get(NS, 'k'))?.accessCount, reads)
    })
  })
}
