/** Real faults between the cache and its servers: what is tried again brings the right answer, within the deadline, and nothing is done out of turn. */
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { decode } from '../../../../services/cache/encoding.js'
import { DEFAULT_POLICY, Retry } from '../../../../services/cache/retry.js'
import { eventually, openSharedCache, type SharedCache, type SharedCacheOptions, startMemcachedCaches } from '../../../support/caches.js'
import { type Moment, Proxy } from '../../../support/proxy.js'
import { memcachedUrl, type Owner, redisUrl, startMemcached, startRedis } from '../../../support/servers.js'
import { entryOf as entry, settled, valueIn } from '../setup.js'

const NS = 'default'
const AWAY = { code: 'ERR_BACKEND_UNAVAILABLE', statusCode: 503 }
/** Long, for machines that are busy; what waits for it would fail the test. */
const deadline = 5000
const retrying = (): Retry => new Retry({ dependency: 'redis', policy: { ...DEFAULT_POLICY, baseDelay: 20 } })
const portOf = (url: string): number => Number(new URL(url).port)

interface Faulty extends SharedCache { proxy: Proxy, retry: Retry, other: SharedCache }

/** A cache that a proxy stands in the way of, and another that it does not. Nothing of Redis is in memory: every read asks it. */
async function openFaulty (owner: Owner, options: SharedCacheOptions = {}): Promise<Faulty> {
  const url = await redisUrl(owner)
  const proxy = await Proxy.start(owner, portOf(url), 'redis')
  const retry = retrying()
  const opened = await openSharedCache(owner, proxy.through(url), { deadline, retry, ...options })
  const other = await openSharedCache(owner, url, { deadline })
  return { ...opened, proxy, retry, other }
}

const behind = async ({ backend }: Pick<SharedCache, 'backend'>, key: string): Promise<unknown> => {
  const found = await backend.get(NS, key)
  return found === undefined ? undefined : decode(found.value)
}

t.test('redis: connections that are cut', async (t) => {
  const { cache, backend, client, proxy, retry, other } = await openFaulty(t)
  await cache.set(NS, 'k', entry('value', { tags: ['t'] }))
  await cache.set(NS, 'large', entry('x'.repeat(100_000)))
  const ready = async (): Promise<void> => { await eventually(() => client.status === 'ready', 'it is connected') }
  const sent = (statement: RegExp): number => proxy.statements.filter((each) => statement.test(each)).length

  t.test('around a read: it brings what there is', async (t) => {
    for (const moment of ['before', 'during', 'after', 'halfway'] satisfies Moment[]) {
      const { succeeded } = retry.counts
      proxy.cut({ statement: /^get /i, moment })
      t.equal(await behind({ backend }, 'large').then((value) => String(value).length), 100_000, moment)
      t.equal(retry.counts.succeeded, succeeded + 1)
    }
    proxy.cut({ statement: /^mget /i, moment: 'after' })
    t.strictSame((await backend.getMany(NS, ['k', 'none'])).map((found) => found?.key), ['k', undefined])
    proxy.cut({ statement: /:entry:default:\*/, moment: 'after' })
    t.equal((await cache.list(NS, { limit: 9 })).total, 2)
  })

  t.test('while Redis is away for a moment: reads and writes wait for it', async (t) => {
    proxy.down()
    await eventually(() => client.status !== 'ready', 'it is lost')
    const { attempts } = proxy
    const all = Promise.all([backend.get(NS, 'k'), Promise.resolve(cache.set(NS, 'later', entry(1))), cache.invalidate(NS, { tags: ['none'] }), Promise.resolve(cache.delete(NS, 'none'))])
    await eventually(() => proxy.attempts > attempts + 1, 'it was looked for')
    proxy.down(false)
    await all
    t.equal(await behind(other, 'later'), 1)
  })

  t.test('behind a write that was made: it is not made again, and nobody is told that it was not', async (t) => {
    await ready()
    proxy.cut({ statement: /^eval.*entry:default:w /s, moment: 'after' })
    await t.rejects(Promise.resolve(cache.set(NS, 'w', entry('first'), { absent: true })), AWAY)
    t.equal(await behind(other, 'w'), 'first')
    t.equal(sent(/^eval.*entry:default:w /s), 1)
    await ready()
    proxy.cut({ statement: /^eval.*entry:default:w /s, moment: 'after' })
    proxy.statements.length = 0
    await t.rejects(Promise.resolve(cache.delete(NS, 'w')), AWAY)
    t.equal(await behind(other, 'w'), undefined)
  })

  t.test('around an invalidation: it is in force', async (t) => {
    for (const moment of ['before', 'during', 'after'] satisfies Moment[]) {
      await ready()
      await cache.set(NS, moment, entry('old', { tags: ['gone'] }))
      proxy.cut({ statement: /"i":\{"tags":\["gone"\]/, moment })
      await cache.invalidate(NS, { tags: ['gone'] })
      t.equal(await valueIn(cache, moment), undefined, moment)
      await eventually(async () => await valueIn(other.cache, moment) === undefined, `elsewhere too: ${moment}`)
    }
  })

  t.test('around what a load brought, and what a change of the origin resulted in', async (t) => {
    for (const moment of ['before', 'during', 'after'] satisfies Moment[]) {
      await ready()
      proxy.cut({ statement: /^eval.* fill /s, moment })
      t.equal((await cache.read(`loaded ${moment}`, () => 'loaded')).value, 'loaded')
      t.equal(await behind(other, `loaded ${moment}`), 'loaded', moment)
      await cache.set(NS, 'origin', entry('old'))
      await ready()
      proxy.cut({ statement: /^eval.* replace /s, moment })
      await cache.update('origin', async () => 'new')
      // What was done already looks like somebody else's change: it goes.
      t.ok([undefined, 'new'].includes(await behind(other, 'origin') as string | undefined), moment)
    }
  })
})

t.test('redis: killed and restarted within the deadline, reads and writes succeed', async (t) => {
  const server = await startRedis(t, { appendOnly: true })
  const { cache, backend, client } = await openSharedCache(t, server.url, { deadline, retry: retrying() })
  await cache.set(NS, 'k', entry('kept'))
  await server.kill()
  const all = Promise.all([behind({ backend }, 'k'), cache.set(NS, 'new', entry('set'))])
  await delay(20)
  await server.restart()
  t.equal((await all)[0], 'kept')
  await eventually(() => client.status === 'ready', 'it is connected')
  t.equal(await behind({ backend }, 'new'), 'set')
})

t.test('redis: while connections come and go', async (t) => {
  const { cache, backend, proxy, other } = await openFaulty(t, { breakAfter: Infinity })
  const flaps = { isOver: false, count: 0 }
  const flapping = (async () => {
    while (!flaps.isOver) {
      await delay(Math.random() * 60)
      if (Math.random() < 0.5) proxy.resetPeer()
      else {
        proxy.down()
        await delay(Math.random() * 60)
        proxy.down(false)
      }
      flaps.count++
    }
  })()

  await t.test('a counter is exact, but for what nobody was told of', async (t) => {
    let [acknowledged, unknown] = [0, 0]
    const sums: unknown[] = []
    const one = async (to: SharedCache['cache']): Promise<void> => {
      try {
        sums.push(decode((await to.increment(NS, 'counter', 1)).value))
        acknowledged++
      } catch (error) {
        if ((error as { statusCode?: number }).statusCode === 503) unknown++
        else if ((error as { statusCode?: number }).statusCode !== 412) throw error // too many others at once: not done
      }
    }
    while (flaps.count < 15) await Promise.all([one(cache), one(cache), one(other.cache)])
    t.equal(new Set(sums).size, sums.length, 'no two are told the same sum')
    const sum = Number(await behind(other, 'counter'))
    t.ok(sum >= acknowledged && sum <= acknowledged + unknown, `${acknowledged} acknowledged, ${unknown} unknown, ${sum} counted`)
  })

  await t.test('no write overtakes a later one of its key', async (t) => {
    let late = 0
    for (let round = 0; round < 25; round++) {
      const key = `ordered ${round}`
      const writes = Array.from({ length: 5 }, async (_, at) => {
        const work = at === 2 ? cache.delete(NS, key) : cache.set(NS, key, entry(at))
        return await Promise.resolve(work).then(() => at, () => -1)
      })
      const acknowledged = Math.max(...await Promise.all(writes))
      const found = await behind(other, key)
      const at = found === undefined ? 2 : Number(found)
      // What was not acknowledged may have been made, in its turn.
      if (acknowledged >= 0 && at < acknowledged) late++
    }
    t.equal(late, 0)
  })

  await t.test('what was written before an invalidation does not outlive it', async (t) => {
    let outlived = 0
    for (let round = 0; round < 20; round++) {
      const key = `swept ${round}`
      const writing = Promise.resolve(cache.set(NS, key, entry(round, { tags: ['all'] }))).catch(() => undefined)
      await settled() // until it was sent, or refused
      const swept = await backend.invalidate(NS, { tags: ['all'] }).catch(() => undefined)
      await writing
      const found = await other.backend.get(NS, key)
      if (swept !== undefined && found !== undefined && found.stamp > swept) outlived++
    }
    t.equal(outlived, 0)
  })

  flaps.isOver = true
  await flapping
})

t.test('redis: a server that loses every connection meets at most a fifth more than is asked of it', async (t) => {
  const { cache, backend, client, proxy, retry } = await openFaulty(t, { breakAfter: Infinity })
  await cache.set(NS, 'k', entry(1))
  const asked = 100
  proxy.cut({ statement: /^get larder:test:entry/i, moment: 'before', times: Infinity })
  proxy.statements.length = 0
  for (let at = 0; at < asked; at++) {
    await backend.get(NS, `k${at}`).catch(() => {})
    await eventually(() => client.status === 'ready', 'it is connected again')
  }
  const met = proxy.statements.filter((statement) => /^get larder:test:entry/i.test(statement)).length
  t.ok(met <= 1.2 * asked, `${met} for ${asked}`)
  t.ok(met > asked, 'though some were tried again')
  t.ok(retry.counts.denied > 0)
})

t.test('memcached', async (t) => {
  const url = await memcachedUrl(t)
  const proxy = await Proxy.start(t, portOf(url), 'memcached')
  const over = { redis: await redisUrl(t) }
  const retry = retrying()
  const [faulty, other] = [
    await (await startMemcachedCaches(t, { url: proxy.through(url), over }))(t, { deadline, retry }),
    await (await startMemcachedCaches(t, { url, over }))(t, { deadline })
  ]
  const { cache } = faulty
  const there = async ({ backend }: Pick<typeof faulty, 'backend'>, key: string): Promise<unknown> => {
    const found = await backend.get(NS, key)
    return found === undefined ? undefined : decode(found.value)
  }
  await cache.set(NS, 'k', entry('value'))

  t.test('a read whose connection is cut brings what there is', async (t) => {
    for (const moment of ['before', 'during', 'after', 'halfway'] satisfies Moment[]) {
      proxy.cut({ statement: /^mg /, moment })
      t.equal(await there(faulty, 'k'), 'value', moment)
    }
    t.ok(retry.counts.succeeded >= 4)
  })

  t.test('a write waits for a connection, and is not made twice', async (t) => {
    proxy.down()
    const writing = cache.set(NS, 'waiting', entry('written'))
    await delay(20)
    proxy.down(false)
    await writing
    t.equal(await there(other, 'waiting'), 'written')
    proxy.cut({ statement: /^ms /, moment: 'after' })
    proxy.statements.length = 0
    await t.rejects(Promise.resolve(cache.set(NS, 'lost', entry('written'))), AWAY)
    t.equal(proxy.statements.filter((statement) => statement.startsWith('ms ')).length, 1)
  })

  t.test('killed and restarted within the deadline: a read is a miss', async (t) => {
    const server = await startMemcached(t)
    const { backend } = await (await startMemcachedCaches(t, { url: server.url, over }))(t, { deadline, retry: retrying() })
    await server.kill()
    const reading = backend.get(NS, 'k')
    await delay(20)
    await server.restart()
    t.equal(await reading, undefined)
  })

  t.test('the Redis that keeps its order is cut off for a moment: changes and invalidations are made all the same', async (t) => {
    const between = await Proxy.start(t, portOf(over.redis), 'redis')
    const { cache } = await (await startMemcachedCaches(t, { url, over: { redis: between.through(over.redis) } }))(t, { deadline, retry: retrying() })
    await cache.set(NS, 'ordered', entry('old', { tags: ['t'] }))
    for (const [what, statement, moment] of [['begun', /^eval.*:begun [^:]*:\d+ \[/s, 'after'], ['announced', /^eval.*"k":"ordered"/s, 'after'], ['announced', /^eval.*"k":"ordered"/s, 'before']] as const) {
      between.cut({ statement, moment })
      await cache.set(NS, 'ordered', entry(`${what} ${moment}`, { tags: ['t'] }))
      t.equal(await there(other, 'ordered'), `${what} ${moment}`)
    }
    t.equal(between.cuts, 3)
    between.cut({ statement: /"i":\{"tags":\["t"\]/, moment: 'after' })
    await cache.invalidate(NS, { tags: ['t'] })
    await eventually(async () => await valueIn(other.cache, 'ordered') === undefined, 'it fell')
  })
})
