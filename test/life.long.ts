import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t, { type Test } from 'tap'
import { eventually } from './support/caches.js'
import { databaseUrl, redisUrl } from './support/servers.js'
import { send, type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

t.setTimeout(400_000)
const BATCH = 250

/** A request on a connection of its own: its answer, begun. */
async function ask (url: string, method = 'GET', body?: unknown): Promise<IncomingMessage> {
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const asked = request(url, { method, agent: false, headers: payload === undefined ? {} : { 'content-type': 'application/json' } }).end(payload)
  const [response] = await once(asked, 'response') as [IncomingMessage]
  return response
}

/** Acknowledged writes that are in the journal, or beyond it. */
async function writeBehind ({ url }: Service, from: number, batches: number): Promise<string[]> {
  const keys: string[] = []
  for (let batch = 0; batch < batches; batch++) {
    const items = Array.from({ length: BATCH }, (_, i) => ({ key: `k${from + batch * BATCH + i}`, value: from + batch * BATCH + i, strategy: 'write_behind' }))
    const { body } = await send<{ successful_count: number }>(`${url}/api/cache/set-batch`, 'POST', items)
    if (body.successful_count !== BATCH) throw new Error(`${body.successful_count} of ${BATCH}`)
    keys.push(...items.map(({ key }) => key))
  }
  return keys
}

async function lost ({ url }: Service, keys: string[]): Promise<string[]> {
  const missing: string[] = []
  for (let at = 0; at < keys.length; at += BATCH) {
    const { body } = await send<{ results: { key: string, result: { found: boolean, cache_item?: { value: unknown } } }[] }>(`${url}/api/cache/get-batch`, 'POST', keys.slice(at, at + BATCH))
    missing.push(...body.results.filter(({ key, result }) => result.cache_item?.value !== Number(key.slice(1))).map(({ key }) => key))
  }
  return missing
}

t.test('a service that is told to end, under load', async (t) => {
  const database = await databaseUrl(t)
  const env = { DATABASE_URL: database, DATA_DIR: temporaryFolder(t), SAMPLE_DATA: 'true' }
  const first = await startService(t, env)
  const { body: { products: [product] } } = await send<{ products: { id: number }[] }>(`${first.url}/products`)
  const client = new pg.Client(database)
  await client.connect()
  t.teardown(async () => { await client.end() })

  const streams = await Promise.all(['/events', '/config/watch'].map(async (path) => await ask(`${first.url}${path}`)))
  const ends = streams.map(async (stream) => await text(stream))
  const keys = await writeBehind(first, 0, 20)
  await client.query('BEGIN')
  await client.query('SELECT FROM products WHERE id = $1 FOR UPDATE', [product!.id])
  const slow = ask(`${first.url}/products/${product!.id}`, 'PUT', { price: 99 })
  await eventually(async () => (await client.query("SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()")).rowCount! > 0, 'it waits for the row')

  const began = performance.now()
  first.kill('SIGTERM')
  await eventually(async () => (await ask(`${first.url}/health/ready`)).statusCode === 503, 'it is not ready any more', 900)
  t.equal((await ask(`${first.url}/health/live`)).statusCode, 200, 'and still answers for a moment')
  await eventually(async () => await ask(`${first.url}/health/live`).then(() => false, () => true), 'then it lets nobody in')
  t.strictSame((await Promise.all(ends)).map((sent) => sent.startsWith('retry: ')), [true, true], 'streams have ended as they should')
  await client.query('COMMIT')
  t.equal((await slow).statusCode, 200, 'what was under way is finished')
  t.strictSame(await first.ended, { code: 0, signal: null })
  t.ok(performance.now() - began < 10_000)

  await t.test('has written what was acknowledged; one that is not let finish has it in the journal', async (t) => {
    const second = await startService(t, env)
    t.strictSame(await lost(second, keys), [])
    const more = await writeBehind(second, keys.length, 8)
    const held = await ask(`${second.url}/events`)
    second.kill('SIGTERM')
    await eventually(() => second.log().includes('SIGTERM: finishing what is under way'), 'the beginning of the end')
    second.kill('SIGTERM')
    t.strictSame(await second.ended, { code: 1, signal: null }, 'the second signal does not wait')
    await text(held).catch(() => {})
    const third = await startService(t, env)
    t.strictSame(await lost(third, [...keys, ...more]), [])
  })
})

t.test('two processes are replaced one after the other, and no request fails', async (t) => {
  const env = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), CACHE_BACKEND: 'redis', SAMPLE_DATA: 'true', CACHE_DEADLINE: '1000' }
  const folders = [temporaryFolder(t), temporaryFolder(t)]
  const start = async (t: Test, at: number, more: Record<string, string> = {}) => await startService(t, { ...env, DATA_DIR: folders[at]!, ...more })
  const services = await Promise.all([start(t, 0), start(t, 1)])
  const ready = [true, true]
  const over = new AbortController()
  const until = async (work: () => Promise<void>): Promise<void> => { while (!over.signal.aborted) await work() }

  // What a balancer does: it asks who is ready, and sends requests there.
  const probing = services.map(async (_, at) => await until(async () => {
    ready[at] = await ask(`${services[at]!.url}/health/ready`).then((response) => response.resume().statusCode === 200, () => false)
    await sleep(50)
  }))
  const failures: unknown[] = []
  const acknowledged: string[] = []
  let next = 0
  const clients = Array.from({ length: 4 }, async () => await until(async () => {
    const n = next++
    const at = ready[n % 2] === true ? n % 2 : 1 - n % 2
    const [path, method, body] = n % 3 === 0 ? ['/products'] : n % 3 === 1 ? ['/api/cache/set', 'POST', { key: `k${n}`, value: n }] : ['/items', 'POST', { n }]
    try {
      const response = await ask(`${services[at]!.url}${path}`, method, body)
      await text(response)
      if (response.statusCode! >= 300) failures.push([path, response.statusCode])
      else if (n % 3 === 1) acknowledged.push(`k${n}`)
    } catch (error) {
      failures.push([path, String(error)])
    }
    await sleep(2)
  }))

  for (const at of [0, 1]) {
    await eventually(() => ready[0]! && ready[1]! && acknowledged.length > 20 * (at + 1), 'load on both', 20_000)
    const { port } = new URL(services[at]!.url)
    services[at]!.kill('SIGTERM')
    t.strictSame(await services[at]!.ended, { code: 0, signal: null })
    services[at] = await start(t, at, { PORT: port })
  }
  await eventually(() => ready[0]! && ready[1]!, 'both', 20_000)
  over.abort()
  await Promise.all([...clients, ...probing])
  t.strictSame(failures, [])
  t.ok(next > 100)
  t.strictSame(await lost(services[0], acknowledged), [], 'what was acknowledged is there')
})
