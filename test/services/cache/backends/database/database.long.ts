import t from 'tap'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import type { Cache } from '../../../../../services/cache/cache.js'
import { compose } from '../../../../../services/cache/analytics/composition.js'
import { drawSample } from '../../../../../services/cache/analytics/sampling.js'
import { decode, encode } from '../../../../../services/cache/encoding.js'
import { DATA_TYPES, type Strategy } from '../../../../../services/cache/entry.js'
import { eventually, startDatabaseCaches } from '../../../../support/caches.js'
import { databaseUrl, startPostgres } from '../../../../support/servers.js'
import { entryOf as entry, valueIn } from '../../setup.js'

const NS = 'default'
const DAY = 86_400
const keysIn = async (cache: Cache): Promise<string[]> => (await cache.list(NS, { limit: 1000 })).entries.map(({ key }) => key)

t.test('an entry', async (t) => {
  const open = await startDatabaseCaches(t)
  const [a, b] = [await open(t), await open(t)]

  t.test('comes back byte for byte, whatever it holds', async (t) => {
    const values: unknown[] = [
      null, 0, -1.5e300, '', false, 'é漢\u{1F600}\u2028\u0000"\\', '\ud800', [], [1, 'é', null], {}, { constructor: 1, '': 2 },
      randomBytes(1_000_000).toString('base64'), 'é'.repeat(500_000), 'x'.repeat(16_384), 'x'.repeat(16_385)
    ]
    for (const [at, value] of values.entries()) {
      for (const dataType of DATA_TYPES) {
        const text = encode(value)
        await a.cache.set(NS, 'k', { value: text, dataType, metadata: '{"é":"\\u0000"}', tags: ['\ud800', 'é'] })
        const read = await b.store.latest(NS, 'k')
        t.ok(read?.dataType === dataType && Buffer.from(read.value).equals(Buffer.from(text)), `value ${at} as ${dataType}`)
        t.strictSame([read?.metadata, read?.tags], ['{"é":"\\u0000"}', ['\ud800', 'é']])
        if (text.length > 100_000) break
      }
    }
  })

  t.test('is found under any key, and under no other', async (t) => {
    const keys = [
      '\u0000', '\ud800', '\udc00', '\ufffd', '', ' ', "'; DROP TABLE cache_entries; --", '%', '_', '\\', '"', '{"k":1}', '$1', 'a:b', 'é', 'e\u0301', 'É', '\u{1F600}',
      '"'.repeat(1000), '\\'.repeat(1000), 'é'.repeat(500), '\u{1F600}'.repeat(250)
    ]
    for (const [at, key] of keys.entries()) await a.cache.set('hostile', key, entry(at))
    const found = await b.cache.getMany('hostile', keys)
    t.strictSame(found.map((each) => each && [each.key, decode(each.value)]), keys.map((key, at) => [key, at]))
    t.strictSame((await b.cache.list('hostile', { limit: 1000 })).entries.map(({ key }) => key), [...keys].sort())
    for (const [at, key] of keys.entries()) {
      await a.cache.set('hostile', key, entry(at + 100))
      await eventually(async () => decode((await b.cache.peek('hostile', key))!.value) === at + 100, `the others hear of ${JSON.stringify(key).slice(0, 20)}`)
    }
    for (const key of keys) t.equal(await b.cache.delete('hostile', key), true)
    t.equal((await a.cache.statistics('hostile')).items, 0)
  })

  t.test('lives as long as it is to', async (t) => {
    await a.cache.set(NS, 'ever', entry(1, { ttl: 0 }))
    await a.cache.set(NS, 'long', entry(1, { ttl: 60 * DAY }))
    await a.cache.set(NS, 'brief', entry(1, { ttl: 0.05 }))
    t.equal((await b.cache.get(NS, 'ever'))?.expiresAt, Infinity)
    const left = ((await b.cache.get(NS, 'long'))!.expiresAt - b.cache.now) / 1000
    t.ok(left > 60 * DAY - 10 && left <= 60 * DAY + 1, `${left} s`)
    await eventually(async () => await b.cache.get(NS, 'brief') === undefined, 'the brief one is gone')
    const touched = await a.cache.touch(NS, 'ever', 0.05)
    t.ok(touched)
    await eventually(async () => await valueIn(b.cache, 'ever') === undefined, 'so is the one cut short')
  })
})

t.test('the limits', async (t) => {
  const open = await startDatabaseCaches(t)
  const url = await databaseUrl(t)
  const fresh = await startDatabaseCaches(t, url)

  const orders: [strategy: Strategy, left: string[]][] = [
    ['lru', ['a', 'c', 'd']], ['lfu', ['a', 'c', 'd']], ['fifo', ['b', 'c', 'd']], ['ttl', ['a', 'b', 'd']]
  ]
  for (const [strategy, left] of orders) {
    t.test(`evict by ${strategy}`, async (t) => {
      const { cache } = await fresh(t, { limits: { maxItems: 3, strategy } })
      await cache.clear(NS)
      for (const [key, ttl] of [['a', 50], ['b', 60], ['c', 40]] as const) await cache.set(NS, key, entry(key, { ttl }))
      for (const key of ['c', 'a']) await cache.get(NS, key)
      await cache.set(NS, 'd', entry('d', { ttl: 55 }))
      t.strictSame(await keysIn(cache), left)
      t.equal(await valueIn(cache, ['a', 'b', 'c', 'd'].find((key) => !left.includes(key))!), undefined, 'memory has not kept it either')
      await cache.clear(NS)
    })
  }

  t.test('evict by lru in the order of use, also of what is used within one moment of the clock', async (t) => {
    const moment = Date.now()
    const { cache } = await fresh(t, { now: () => moment, limits: { maxItems: 4, strategy: 'lru' } })
    await cache.clear(NS)
    // The most recently used is the last.
    let held: string[] = []
    for (let step = 0; step < 200; step++) {
      const key = `k${step * step * 7 % 11 % 6}`
      const found = step % 5 === 0 ? undefined : await cache.get(NS, key)
      if (step % 5 !== 0) t.equal(found !== undefined, held.includes(key), `step ${step}, ${key}`)
      if (found === undefined) await cache.set(NS, key, entry(step, { ttl: 0 }))
      held = [...held.filter((other) => other !== key), key].slice(-4)
    }
    await cache.clear(NS)
  })

  t.test('take an increment for a use', async (t) => {
    const { cache } = await fresh(t, { limits: { maxItems: 3, strategy: 'lru' } })
    await cache.clear(NS)
    for (const key of ['a', 'b', 'c']) await cache.set(NS, key, entry(1))
    await cache.increment(NS, 'a', 1)
    await cache.set(NS, 'd', entry(1))
    t.strictSame(await keysIn(cache), ['a', 'c', 'd'])
    await cache.clear(NS)
  })

  t.test('hold at every moment, over all processes, in number and bytes', async (t) => {
    const limits = { maxItems: 40, maxMemory: 40_000 }
    const [a, b] = [await open(t, { limits }), await open(t, { limits })]
    const writing = new AbortController()
    const watching = (async () => {
      let most = { items: 0, bytes: 0 }
      while (!writing.signal.aborted) {
        const { items, bytes } = await b.cache.statistics(NS)
        most = { items: Math.max(most.items, items), bytes: Math.max(most.bytes, bytes) }
      }
      return most
    })()
    for (let round = 0; round < 20; round++) {
      await Promise.all(Array.from({ length: 20 }, async (_, i) =>
        await (i % 2 === 0 ? a : b).cache.set(NS, `k${round * 7 + i}`, entry('x'.repeat((round * 97 + i * 31) % 3000), { strategy: (['lru', 'lfu', 'fifo', 'ttl'] as const)[i % 4]! }))))
    }
    writing.abort()
    const most = await watching
    t.ok(most.items > 0 && most.items <= 40 && most.bytes <= 40_000, JSON.stringify(most))
    await eventually(async () => {
      const keys = await keysIn(a.cache)
      const inMemory = Array.from({ length: 160 }, (_, i) => `k${i}`).filter((key) => b.store.memory.find(NS, key) !== -1)
      return inMemory.every((key) => keys.includes(key))
    }, 'no process keeps in memory what was evicted')
  })

  t.test('refuse what is larger than all of them, and evict nothing for it', async (t) => {
    const { cache } = await (await startDatabaseCaches(t))(t, { limits: { maxMemory: 5000 } })
    await cache.set(NS, 'kept', entry(1))
    await t.rejects(Promise.resolve(cache.set(NS, 'big', entry('x'.repeat(5000)))), { code: 'ERR_ENTRY_TOO_LARGE', statusCode: 413 })
    t.equal(await cache.getOrSet('loaded', () => 'x'.repeat(5000)).then(({ length }) => length), 5000, 'a load is answered')
    await cache.update('kept', async () => 'x'.repeat(5000))
    t.equal(await valueIn(cache, 'kept'), undefined, 'an update that is too large leaves nothing old behind')
  })

  t.test('may be lowered: what they have no room for goes', async (t) => {
    const [a, b] = await Promise.all([1, 2].map(async () => await open(t)))
    await a!.cache.clear(NS)
    await a!.cache.clear(NS)
    for (let i = 0; i < 1200; i += 100) await Promise.all(Array.from({ length: 100 }, async (_, at) => await a!.cache.set(NS, `k${i + at}`, entry(i + at))))
    t.equal(await valueIn(b!.cache, 'k0'), 0)
    a!.cache.configure({ maxItems: 10 })
    await eventually(async () => (await a!.cache.statistics()).items <= 10, 'ten are left')
    t.ok((await keysIn(a!.cache)).includes('k1199'), 'the newest')
    await eventually(async () => await valueIn(b!.cache, 'k0') === undefined, 'the others hear of it')
  })

  t.test('go by four strategies; others are refused', async (t) => {
    const { cache } = await open(t)
    for (const strategy of ['sieve', 's3fifo', 'adaptive'] as const) {
      await t.rejects(Promise.resolve(cache.set(NS, 'k', entry(1, { strategy }))), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422, message: new RegExp(strategy) })
    }
  })
})

t.test('5 000 keys', async (t) => {
  const open = await startDatabaseCaches(t)
  const [a, b] = [await open(t), await open(t)]
  const keys = Array.from({ length: 5000 }, (_, i) => `key:${String(i).padStart(4, '0')}`)
  for (let from = 0; from < keys.length; from += 500) {
    await Promise.all(keys.slice(from, from + 500).map(async (key) => await a.cache.set(NS, key, entry(key))))
  }

  t.test('page by cursor while others write', async (t) => {
    const paging = new AbortController()
    const writing = (async () => {
      for (let i = 0; !paging.signal.aborted; i++) await b.cache.set(NS, `key:${i % 2 === 0 ? 'new' : '0000'}:${i}`, entry(i))
    })()
    const seen: string[] = []
    let cursor: string | undefined
    do {
      const page = await a.cache.list(NS, { limit: 700, cursor })
      seen.push(...page.entries.map(({ key }) => key))
      cursor = page.cursor
    } while (cursor !== undefined)
    paging.abort()
    await writing
    t.equal(new Set(seen).size, seen.length, 'none twice')
    const found = new Set(seen)
    t.ok(keys.every((key) => found.has(key)), 'none is missing')
  })

  t.test('go with one invalidation, and are counted', async (t) => {
    t.equal(await a.cache.invalidate(NS, { pattern: 'key:????' }), 5000)
    await a.cache.clear(NS)
    t.strictSame(await b.cache.statistics(NS).then(({ items, bytes }) => [items, bytes]), [0, 0])
  })
})

t.test('quotas of what is there already', async (t) => {
  const url = await databaseUrl(t)
  const open = await startDatabaseCaches(t, url)
  const limits = { maxItems: 20_000, maxMemory: 100_000_000 }
  const [a, b] = [await open(t, { limits }), await open(t, { limits })]
  const client = new pg.Client(url)
  await client.connect()
  t.teardown(() => client.end())
  const fill = async (cache: Cache, namespace: string, from: number, to: number): Promise<void> => {
    for (let at = from; at < to; at += 100) await Promise.all(Array.from({ length: 100 }, async (_, i) => await cache.set(namespace, `k${at + i}`, entry(i))))
  }
  const count = async (namespace: string): Promise<number> => {
    const { rows } = await client.query<{ items: number }>("SELECT count(version)::float8 AS items FROM cache_entries WHERE cache = 'test' AND namespace = $1", [namespace])
    return rows[0]!.items
  }
  /** What is counted is what is there. */
  const sound = async (): Promise<void> => {
    const { rows } = await client.query(`
      SELECT items - counted AS items, own_items - own AS own, bytes - counted_bytes AS bytes, own_bytes - counted_own_bytes AS own_bytes
      FROM cache_counters, (SELECT count(version) AS counted, count(version) FILTER (WHERE own) AS own, sum(size) AS counted_bytes,
        coalesce(sum(size) FILTER (WHERE own), 0) AS counted_own_bytes FROM cache_entries WHERE cache = 'test') AS found WHERE cache = 'test'`)
    t.match(rows[0], { items: '0', own: '0', bytes: '0', own_bytes: '0' })
  }
  const settled = async (limits: Parameters<Cache['configure']>[0]): Promise<void> => {
    a.cache.configure(limits)
    await a.cache.settled()
  }
  await fill(a.cache, 'tenant', 0, 2300)
  await fill(a.cache, 'other', 0, 500)
  const writing = fill(b.cache, 'tenant', 2300, 2800)
  await settled({ quotas: new Map([['tenant', { maxItems: 2000, maxMemory: 10_000_000 }]]) })
  t.ok(await count('tenant') <= 2000, 'it is in force, over all processes')
  await writing
  t.strictSame([await count('tenant'), await count('other')], [2000, 500])
  await sound()
  await t.rejects(async () => await b.cache.set('tenant', 'large', entry('x'.repeat(10_000_000))), { code: 'ERR_ENTRY_TOO_LARGE', message: /limit of 10000000/ }, 'also where it was not heard of')
  await b.cache.invalidate('tenant', { pattern: 'k1*' })
  for (let i = 0; i < 20; i++) await b.cache.delete('tenant', `k${2700 + i}`)
  await b.cache.set('tenant', 'brief', entry(1, { ttl: 0.01 }))
  await eventually(async () => await b.cache.get('tenant', 'brief') === undefined, 'it is gone')
  await b.cache.set('tenant', 'brief', entry(2))
  await b.backend.sweep()
  await sound()
  await settled({ quotas: new Map() })
  t.equal((await client.query('SELECT FROM cache_pools')).rowCount, 0)
  await sound()
  await settled({ maxItems: 100 })
  t.equal(await count('tenant') + await count('other'), 100)
  await sound()
})

t.test('a sample of many entries is of all of them', async (t) => {
  const url = await databaseUrl(t)
  const { cache, store, backend } = await (await startDatabaseCaches(t, url))(t, { limits: { maxItems: 1_000_000, maxMemory: 2 ** 40 } })
  const client = new pg.Client(url)
  await client.connect()
  t.teardown(() => client.end())
  await cache.set('large', 'text', entry('x', { dataType: 'string', ttl: 0 }))
  await cache.set('large', 'number', entry(1, { dataType: 'number', ttl: 0 }))
  t.equal(await store.sample(undefined, 100), undefined, 'few are scanned')
  // By the order of keys numbers come first, as they do on the disk.
  const columns = 'written, gone, version, stamp, expires, accessed, reads, uses, size, strategy, rank, tie, head, value, own'
  const copy = async (from: string, namespace: string, prefix: string, count: number): Promise<void> => {
    await client.query(`INSERT INTO cache_entries (cache, namespace, key, ${columns}) SELECT cache, $2, to_json($3 || lpad(n::text, 6, '0'))::text, ${columns}
      FROM cache_entries, generate_series(1, ${count}) AS n WHERE cache = 'test' AND namespace = 'large' AND key = $1`, [JSON.stringify(from), namespace, prefix])
  }
  await copy('number', 'large', 'a:', 50_000)
  await copy('text', 'large', 'z:', 50_000)
  await copy('text', 'small', 'z:', 3000)
  await client.query("UPDATE cache_counters SET (items, bytes) = (SELECT count(version), sum(size) FROM cache_entries WHERE cache = 'test') WHERE cache = 'test'")
  const { items, bytes } = (await backend.sample(undefined, 4096))!
  const { rows } = await client.query<{ items: number, bytes: number }>("SELECT count(*)::float8 AS items, sum(size)::float8 AS bytes FROM cache_entries WHERE cache = 'test'")
  t.strictSame({ items, bytes }, rows[0])
  for (const namespace of [undefined, 'large']) {
    const sample = await drawSample(store, namespace, 4096, cache.now)
    t.match(sample, { isComplete: true, source: 'backend' })
    t.equal(sample.entries.length, 4096)
    t.ok(Math.abs(sample.items - 100_000) < 25_000, `${sample.items} entries`)
    const { byPrefix } = await compose(sample, 10)
    for (const prefix of ['a', 'z']) t.ok(Math.abs(byPrefix.find((each) => each.prefix === prefix)!.items / sample.items - 0.5) < 0.12, prefix)
  }
  t.match(await drawSample(store, 'small', 4096, cache.now), { isComplete: true, items: 3000 }, 'few of many are gone through')
})

t.test('what is expired or deleted is reclaimed', async (t) => {
  const url = await databaseUrl(t)
  const { cache, backend } = await (await startDatabaseCaches(t, url))(t)
  for (let i = 0; i < 20; i++) await cache.set(NS, `k${i}`, entry(i, { ttl: 0.05 }))
  await cache.set(NS, 'kept', entry(1))
  await eventually(async () => {
    await backend.sweep()
    const client = new pg.Client(url)
    await client.connect()
    const { rows } = await client.query<{ rows: string, items: string }>('SELECT count(*) AS rows, min(items) AS items FROM cache_entries, cache_counters')
    await client.end()
    return rows[0]?.rows === '1' && rows[0].items === '1'
  }, 'one row is left, and counted')
})

t.test('an invalidation too long to be announced reaches the others', async (t) => {
  const open = await startDatabaseCaches(t)
  const [a, b] = [await open(t), await open(t)]
  const tags = Array.from({ length: 64 }, (_, i) => `${i}${'é'.repeat(120)}`)
  for (let round = 0; round < 5; round++) {
    await a.cache.set(NS, 'k', entry(1, { tags: [tags[round]!] }))
    await eventually(async () => await valueIn(b.cache, 'k') === 1, 'B has it')
    t.equal(await a.cache.invalidate(NS, { tags }), 1)
    await eventually(async () => b.store.isTrusted && await valueIn(b.cache, 'k') === undefined, 'B hears of it', 5000)
  }
})

t.test('PostgreSQL in trouble', async (t) => {
  t.test('hung: no call waits for long, memory is not trusted, and both sides agree afterwards', async (t) => {
    const server = await startPostgres(t)
    const open = await startDatabaseCaches(t, server.url)
    const [a, b] = [await open(t), await open(t)]
    await a.cache.set(NS, 'k', entry('before'))
    t.equal(await valueIn(b.cache, 'k'), 'before')
    server.pause()
    const began = Date.now()
    const outcomes = await Promise.all(Array.from({ length: 100 }, async (_, i) => {
      const error = await Promise.resolve(i % 2 === 0 ? a.cache.set(NS, 'k', entry(`late ${i}`)) : a.cache.get(NS, `other${i}`)).then(() => undefined, (error: { code: string }) => error)
      return { code: error?.code, time: Date.now() - began }
    }))
    t.strictSame(new Set(outcomes.map(({ code }) => code)), new Set(['ERR_BACKEND_UNAVAILABLE']))
    const longest = Math.max(...outcomes.map(({ time }) => time))
    // One deadline for those that have their turn, one for those that were about to.
    t.ok(longest < 8000, `the longest of 100 took ${longest} ms`)
    t.notOk(a.store.isTrusted || b.store.isTrusted)
    await a.cache.forget('gone')
    server.resume()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    await eventually(async () => {
      const found = await Promise.all([a.backend.get(NS, 'k').then((found) => found && decode(found.value)), valueIn(a.cache, 'k'), valueIn(b.cache, 'k')]).catch(() => undefined)
      return found !== undefined && new Set(found).size === 1
    }, 'memory holds what the database does, also of writes that were carried out late')
    await a.cache.set(NS, 'k', entry('after'))
    await eventually(async () => await valueIn(b.cache, 'k') === 'after', 'life goes on')
  })

  t.test('crashed: quotas are set again', async (t) => {
    const server = await startPostgres(t)
    const { cache } = await (await startDatabaseCaches(t, server.url))(t)
    cache.configure({ maxItems: 10, quotas: new Map([['tenant', { maxItems: 3, maxMemory: 100_000 }]]) })
    await cache.settled()
    await server.kill()
    await server.restart()
    const client = new pg.Client(server.url)
    await client.connect()
    t.teardown(() => client.end())
    await eventually(async () => (await client.query('SELECT FROM cache_pools')).rowCount === 1, 'it is there', 20_000)
    for (let i = 0; i < 20; i++) for (const namespace of ['tenant', 'other']) await cache.set(namespace, `k${i}`, entry(i))
    t.strictSame([(await cache.list('tenant', { limit: 20 })).total, (await cache.list('other', { limit: 20 })).total], [3, 7])
  })

  t.test('crashed: it comes back empty, memory is void, and a load from before is not kept', async (t) => {
    const server = await startPostgres(t)
    const open = await startDatabaseCaches(t, server.url)
    const [a, b] = [await open(t), await open(t)]
    await a.cache.set(NS, 'k', entry('before'))
    t.equal(await valueIn(b.cache, 'k'), 'before')
    const stamp = await a.backend.stamp()
    await server.kill()
    await eventually(() => !a.store.isTrusted && !b.store.isTrusted, 'memory is no longer trusted', 5000)
    t.equal(await a.cache.getOrSet('k', () => 'origin'), 'origin')
    await server.restart()
    await eventually(() => a.store.isTrusted && b.store.isTrusted, 'both follow again')
    t.equal(await valueIn(b.cache, 'k'), undefined)
    t.ok(await a.backend.stamp() > stamp, 'stamps go on above those of before')
    const old = (await a.cache.set(NS, 'model', entry('old')), await a.backend.get(NS, 'model'))!
    t.equal(await a.backend.fill({ ...old, key: 'k', stamp }), 'superseded')
    t.equal(await a.cache.getOrSet('k', () => 'loaded'), 'loaded')
    await eventually(async () => await valueIn(b.cache, 'k') === 'loaded', 'B reads what A loaded')
  })

  t.test('the connections cut: what was missed is not answered with', async (t) => {
    const url = await databaseUrl(t)
    const open = await startDatabaseCaches(t, url)
    const [a, b] = [await open(t), await open(t)]
    const client = new pg.Client(url)
    await client.connect()
    t.teardown(() => client.end())
    for (let round = 0; round < 3; round++) {
      await a.cache.set(NS, 'k', entry(round))
      await eventually(async () => await valueIn(b.cache, 'k') === round, `B has ${round}`)
      await client.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'larder-cache' AND query NOT LIKE 'SELECT * FROM cache_write%'")
      await eventually(async () => await Promise.resolve(a.cache.set(NS, 'k', entry(`${round}!`))).then(() => true, () => false), 'A writes')
      await eventually(async () => await valueIn(b.cache, 'k').catch(() => undefined) === `${round}!`, `B has ${round}!`, 5000)
    }
    t.pass('three times')
  })
})

t.test('the embedded database', async (t) => {
  const dataDir = mkdtempSync(join(tmpdir(), 'larder-'))
  t.teardown(() => { rmSync(dataDir, { recursive: true, force: true }) })
  const open = await startDatabaseCaches(t, '', dataDir)
  await t.test('serves one process, which always follows', async (t) => {
    const { cache, store } = await open(t, { limits: { maxItems: 50 } })
    t.ok(store.isTrusted)
    await Promise.all(Array.from({ length: 200 }, async (_, i) => await cache.set(NS, `k${i}`, entry(i, { tags: ['t'] }))))
    t.equal((await cache.statistics(NS)).items, 50)
    t.equal(await valueIn(cache, 'k0'), undefined, 'what was evicted is not in memory either')
    await Promise.all(Array.from({ length: 50 }, async () => await cache.increment(NS, 'n', 1)))
    t.equal(await valueIn(cache, 'n'), 50)
    t.equal(await cache.invalidate(NS, { tags: ['t'] }), 49)
    await cache.set(NS, 'kept', entry({ a: ['é\u0000'] }, { tags: ['kept'] }))
    await cache.set(NS, 'fallen', entry(1, { tags: ['u'] }))
    await cache.invalidate(NS, { tags: ['u'] })
  })
  await t.test('keeps entries over an orderly restart', async (t) => {
    const { cache } = await open(t)
    t.same(await valueIn(cache, 'kept'), { a: ['é\u0000'] })
    t.equal(await valueIn(cache, 'fallen'), undefined)
  })
})
