import t, { type Test } from 'tap'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { eventually } from '../../../support/caches.js'
import { temporaryFolder } from '../../../support/durable-caches.js'
import { startPostgres } from '../../../support/servers.js'
import { send, type Service, startService } from '../../../support/service.js'

t.setTimeout(400_000) // several processes, and servers that hang

type Stored = { status: number, headers: Headers, body: { successful_count: number, detail: string } }
interface Found { results: { key: string, result: { found: boolean, cache_item?: { value: unknown } } }[] }

const entryOf = (key: string, value: unknown, strategy = 'write_behind'): object => ({ key, value, ttl: 0, strategy })
const set = async ({ url }: Service, key: string, value: unknown, strategy?: string): Promise<Stored> =>
  await send(`${url}/api/cache/set`, 'POST', entryOf(key, value, strategy))
const setMany = async ({ url }: Service, entries: object[]): Promise<Stored> => await send(`${url}/api/cache/set-batch`, 'POST', entries)

/** What the service has under keys, a thousand at a time. */
async function valuesOf ({ url }: Service, keys: string[]): Promise<Map<string, unknown>> {
  const values = new Map<string, unknown>()
  for (let at = 0; at < keys.length; at += 1000) {
    const { body } = await send<Found>(`${url}/api/cache/get-batch`, 'POST', keys.slice(at, at + 1000))
    for (const { key, result } of body.results) if (result.found) values.set(key, result.cache_item?.value)
  }
  return values
}

async function metric ({ url }: Service, name: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(new RegExp(`larder_cache_write_behind_${name}\\{[^}]*\\} (\\S+)`).exec(text)?.[1] ?? 0)
}

const queued = async (service: Service): Promise<number> => await metric(service, 'queue_entries')
const drained = async (service: Service): Promise<void> => { await eventually(async () => await queued(service) === 0, 'everything is written', 60_000) }

async function killed (service: Service): Promise<void> {
  service.kill('SIGKILL')
  await ended(service)
}

async function ended ({ pid }: Service): Promise<void> {
  await eventually(() => {
    try {
      process.kill(pid, 0)
      return false
    } catch {
      return true
    }
  }, 'the process is gone', 20_000)
}

async function setUp (t: Test, more: Record<string, string> = {}): Promise<{ postgres: Awaited<ReturnType<typeof startPostgres>>, start: () => Promise<Service>, folder: string }> {
  const postgres = await startPostgres(t)
  const folder = temporaryFolder(t)
  const env = { DATABASE_URL: postgres.url, DATA_DIR: folder, LOG_LEVEL: 'warn', CACHE_MAX_ITEMS: '1000', ...more }
  return { postgres, folder, start: async () => await startService(t, { ...env, LOG_LEVEL: 'info' }) }
}

t.test('ten thousand acknowledged writes that wait for a database that hangs outlive kill -9, the last value of each key', async (t) => {
  const { postgres, start } = await setUp(t)
  let service = await start()
  await set(service, 'first', 1) // the folder is made, and the journal open
  await drained(service)
  postgres.pause()
  const keys = Array.from({ length: 10_000 }, (_, i) => `k${i}`)
  for (const round of ['old', 'new']) {
    for (let at = 0; at < keys.length; at += 1000) {
      const { status, body } = await setMany(service, keys.slice(at, at + 1000).map((key, i) => entryOf(key, `${round}-${at + i}`)))
      t.strictSame([status, body.successful_count], [200, 1000])
    }
  }
  for (const key of ['k5', 'k9999']) t.equal((await send(`${service.url}/api/cache/delete/${key}`, 'DELETE')).status, 200)
  // A key that is written again while its older value is under way to the tier is there twice: at most a batch of them.
  const waiting = await queued(service)
  t.ok(waiting >= 10_000 && waiting <= 10_500, `${waiting} wait`)
  await killed(service)
  postgres.resume()

  service = await start()
  const gone = new Set(['k5', 'k9999'])
  const check = async (): Promise<void> => {
    const values = await valuesOf(service, keys)
    t.strictSame(keys.filter((key, i) => values.get(key) !== (gone.has(key) ? undefined : `new-${i}`)), [])
  }
  await check()
  await drained(service)
  await check()
  await killed(service)
  service = await start()
  await check()
  t.equal((await send<{ total_keys: number }>(`${service.url}/api/cache/keys?limit=1`)).body.total_keys, 9999)
})

t.test('killed at any moment under load, it has the last value that it acknowledged of each key, or one that it was asked to store after that', async (t) => {
  const { start } = await setUp(t)
  const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
  const acknowledged = new Map<string, number>()
  const asked = new Map<string, number>()
  for (let life = 0; life < 5; life++) {
    const service = await start()
    const values = await valuesOf(service, keys)
    const wrong = keys.filter((key) => {
      const value = (values.get(key) as number | undefined) ?? 0
      return value < (acknowledged.get(key) ?? 0) || value > (asked.get(key) ?? 0)
    })
    t.strictSame(wrong, [], `life ${life}`)
    const end = new AbortController()
    let count = 0
    const writing = keys.map(async (key, i) => {
      while (!end.signal.aborted) {
        const value = (asked.get(key) ?? 0) + 1
        asked.set(key, value)
        const answer = await set(service, key, value, i % 4 === 0 ? 'write_through' : 'write_behind').catch(() => undefined)
        if (answer?.status !== 200) continue
        acknowledged.set(key, value)
        count++
      }
    })
    const enough = 100 + Math.random() * 300
    await eventually(() => count > enough, 'there is some load', 30_000)
    await delay(Math.random() * 20)
    service.kill('SIGKILL')
    end.abort()
    await Promise.all(writing)
    await ended(service)
  }
})

t.test('told to end, it writes what waits; what a hanging database keeps it from stays in the journal', async (t) => {
  const { postgres, start, folder } = await setUp(t)
  let service = await start()
  const keys = Array.from({ length: 2000 }, (_, i) => `k${i}`)
  for (let at = 0; at < keys.length; at += 1000) await setMany(service, keys.slice(at, at + 1000).map((key) => entryOf(key, key)))
  service.kill('SIGTERM')
  await ended(service)
  t.strictSame(readdirSync(join(folder, 'journal')), ['identity.json'], 'nothing is left in the journal')

  service = await start()
  t.equal((await valuesOf(service, keys)).size, 2000)
  postgres.pause()
  for (let at = 0; at < keys.length; at += 1000) await setMany(service, keys.slice(at, at + 1000).map((key) => entryOf(key, `${key}!`)))
  const began = performance.now()
  service.kill('SIGTERM')
  await ended(service)
  t.ok(performance.now() - began < 15_000, 'it does not wait for ever')
  postgres.resume()
  service = await start()
  const values = await valuesOf(service, keys)
  t.strictSame(keys.filter((key) => values.get(key) !== `${key}!`), [])
})

t.test('a database that hangs or is down slows no acknowledgement; past the bound it is 503 until the database is back', async (t) => {
  const { postgres, start } = await setUp(t, { CACHE_WRITE_BEHIND_MAX_ENTRIES: '500' })
  const service = await start()
  await set(service, 'k0', 0)
  for (const [trouble, heal] of [[() => { postgres.pause() }, () => { postgres.resume() }], [() => postgres.kill(), () => postgres.restart()]] as const) {
    await drained(service)
    await trouble()
    for (let i = 0; i < 500; i++) t.equal((await set(service, `k${i}`, i)).status, 200)
    const refused = await set(service, 'one more', 1)
    t.equal(refused.status, 503)
    t.ok(Number(refused.headers.get('retry-after')) >= 1)
    t.match(refused.body.detail, /CACHE_WRITE_BEHIND_MAX_ENTRIES/)
    t.equal((await set(service, 'through', 1, 'write_through')).status, 503)
    t.equal((await set(service, 'plain', 1, 'lru')).status, 200)
    t.equal((await valuesOf(service, ['k0', 'k499', 'plain'])).size, 3, 'what is in memory or waits is answered')
    await heal()
    await drained(service)
    t.equal((await set(service, 'one more', 2)).status, 200)
  }
  t.ok(await metric(service, 'retries_total') > 0)
})

t.test('what was written through is there after a crash of the database', async (t) => {
  const { postgres, start } = await setUp(t, { CACHE_MAX_ITEMS: '10' })
  const service = await start()
  const keys = Array.from({ length: 200 }, (_, i) => `k${i}`)
  for (const key of keys) t.equal((await set(service, key, key, 'write_through')).status, 200)
  await postgres.kill()
  await postgres.restart()
  await eventually(async () => (await set(service, 'again', 1, 'write_through')).status === 200, 'it is back', 20_000)
  t.equal((await valuesOf(service, keys)).size, 200)
})

t.test('on a disk that is full nothing is acknowledged, and nothing acknowledged is lost', async (t) => {
  const folder = temporaryFolder(t)
  const disk = join(folder, 'disk')
  mkdirSync(disk)
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=12m', 'tmpfs', disk])
  if (mounted.status !== 0) {
    t.pass('no small disk can be mounted here: journal.test.ts has an injected one')
    return
  }
  t.teardown(() => spawnSync('umount', ['-l', disk]))
  const { postgres, start } = await setUp(t, { DATA_DIR: disk })
  let service = await start()
  await set(service, 'first', 1)
  await drained(service)
  postgres.pause()
  const value = 'x'.repeat(50_000)
  const acknowledged: string[] = []
  let full: Stored | undefined
  for (let i = 0; i < 600 && full === undefined; i++) {
    const answer = await set(service, `k${i}`, value + i)
    if (answer.status === 200) acknowledged.push(`k${i}`)
    else full = answer
  }
  t.equal(full?.status, 507)
  t.match(full?.body.detail, /DATA_DIR/)
  t.ok(acknowledged.length > 50)
  t.equal((await set(service, 'again', value)).status, 507)
  postgres.resume()
  await drained(service)
  t.equal((await set(service, 'after', 1)).status, 200, 'there is room again when the journal is through')
  await drained(service)
  await killed(service)
  service = await start()
  const values = await valuesOf(service, [...acknowledged, 'after'])
  t.equal(values.size, acknowledged.length + 1)
  t.strictSame(acknowledged.filter((key) => values.get(key) !== value + key.slice(1)), [])
})
