import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import type { ServerProcess } from '../tools/servers/server-process.js'
import { demonstrateAlone } from './support/demonstrate.js'
import { ask, curl, tally } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

interface Found { found: boolean, cache_item?: { value: unknown } }

const READERS = 200

const demo: Demo = {
  name: 'cache',
  title: 'one load however many ask, and nobody is given what is no longer true',

  async run (stage) {
    const [postgres, redis] = await Promise.all([stage.postgres(), stage.redis()])
    await logStatements(postgres)
    const env = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, SAMPLE_DATA: 'true' }
    const [a, b] = await Promise.all([stage.larder('Larder A', env), stage.larder('Larder B', env)])

    stage.heading(`A stampede: nothing is cached, and ${READERS} readers come at once, to both processes`)
    const before = selects(postgres)
    stage.command(`${curl(a, 'GET /products')}    # ${READERS} times, half of them from B`)
    const answers = await Promise.all(Array.from({ length: READERS }, async (_, n) => await ask<{ products: unknown[] }>(n % 2 === 0 ? a : b, 'GET /products')))
    stage.claim('all of them are answered', answers.every(({ status, body }) => status === 200 && body.products.length > 0), tally(answers.map(({ status }) => status)))
    const loads = selects(postgres) - before
    stage.claim('PostgreSQL was asked once: its own log says so', loads === 1, `${loads} SELECT … FROM products`)

    stage.heading('From then on it is a hit, and says so')
    const hit = await stage.show(a, 'GET /products', {}, ['cache-status', 'age', 'etag'])
    stage.claim('Cache-Status (RFC 9211) tells a hit and the seconds left', /^larder; hit; ttl=\d+/.test(hit.headers.get('cache-status') ?? ''))
    const same = await stage.show(b, 'GET /products', { headers: { 'if-none-match': hit.headers.get('etag') ?? '' } })
    stage.claim('the other process knows the same version: 304, and no body', same.status === 304)

    stage.heading('A write drops what it changed, in both processes')
    await stage.show(a, 'PUT /products/1', { body: { price: 4.2 } })
    const price = async (): Promise<number | undefined> => (await ask<{ products: { id: number, price: number }[] }>(b, 'GET /products')).body.products.find(({ id }) => id === 1)?.price
    const arrived = await within(1, async () => await price() === 4.2)
    stage.claim('B, which had the old list in memory, has the new price', arrived !== undefined, inTime(arrived))

    stage.heading('A TTL: an entry is there for as long as it was said to be')
    await stage.show(a, 'POST /api/cache/set', { body: { key: 'weather', value: 'rain', ttl: 2, backend: 'redis' } })
    const written = performance.now()
    const weather = async (): Promise<boolean> => (await ask<Found>(b, 'GET /api/cache/get/weather?backend=redis')).body.found
    stage.claim('B has it', await weather())
    const gone = await within(4, async () => !await weather())
    stage.claim('and two seconds after it was written nobody has', gone !== undefined && performance.now() - written > 1950, inTime(gone))

    stage.heading('Tags: one request drops everything that carries one')
    const entries = ['user:1', 'user:2', 'user:3', 'shop:1'].map((key) => ({ key, value: key, backend: 'redis', metadata: { tags: [key.split(':')[0]] } }))
    await stage.show(a, 'POST /api/cache/set-batch', { body: entries })
    const held = async (): Promise<string> => {
      const { body } = await ask<{ results: { key: string, result: Found }[] }>(b, 'POST /api/cache/get-batch?backend=redis', { body: entries.map(({ key }) => key) })
      return body.results.filter(({ result }) => result.found).map(({ key }) => key).join(' ')
    }
    stage.claim('B has all four in its memory', await held() === 'user:1 user:2 user:3 shop:1')
    const { body } = await stage.show(a, 'POST /api/cache/invalidate', { body: { tags: ['user'], backend: 'redis' } })
    stage.claim('A dropped three', body['deleted_count'] === 3)
    const told = await within(1, async () => await held() === 'shop:1')
    stage.claim('B serves the fourth alone', told !== undefined, inTime(told))

    stage.heading('Counters are atomic over both')
    stage.command(`${curl(a, 'POST /api/cache/increment', { body: { key: 'visits', backend: 'redis' } })}    # 100 times at once, half of them to B`)
    const sums = await Promise.all(Array.from({ length: 100 }, async (_, n) =>
      (await ask<{ value: number }>(n % 2 === 0 ? a : b, 'POST /api/cache/increment', { body: { key: 'visits', backend: 'redis' } })).body.value))
    stage.claim('a hundred increments are a hundred', new Set(sums).size === 100 && Math.max(...sums) === 100, `the highest is ${Math.max(...sums)}`)
  }
}

/** PostgreSQL itself says what it was asked. */
async function logStatements ({ url }: ServerProcess): Promise<void> {
  const client = new pg.Client(url)
  await client.connect()
  await client.query("ALTER SYSTEM SET log_statement = 'all'")
  await client.query('SELECT pg_reload_conf()')
  await client.end()
}

function selects ({ folder }: ServerProcess): number {
  return readFileSync(join(folder, 'log'), 'utf8').match(/SELECT[^;]*? FROM products\b/g)?.length ?? 0
}

function inTime (seconds: number | undefined): string {
  return seconds === undefined ? 'not in time' : `after ${Math.round(seconds * 1000)} ms`
}

export default demo
await demonstrateAlone(import.meta.url, demo)
