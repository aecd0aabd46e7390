import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type IncomingMessage, request } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createParser } from 'eventsource-parser'
import t, { type Test } from 'tap'
import type { CacheAnalytics } from '../schemas/cache-analytics.js'
import type { LiveSample } from '../schemas/live.js'
import { eventually } from './support/caches.js'
import { databaseUrl, redisUrl } from './support/servers.js'
import { send, type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

const WORKERS = 3

t.setTimeout(400_000) // each start is that of several processes

async function start (t: Test, workers = 2, more: Record<string, string> = {}): Promise<Service> {
  const service = await startService(t, {
    DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), DATA_DIR: temporaryFolder(t), WORKERS: String(workers), SAMPLE_DATA: 'true', CACHE_DEADLINE: '1000', ...more
  })
  await eventually(() => service.log().includes(`${workers} processes serve`), 'all processes', 60_000)
  return service
}

/** The processes that have said that they listen, the newest last. */
function pidsOf ({ log }: Service): number[] {
  return [...log().matchAll(/"pid":(\d+),[^\n]*Larder listens at/g)].map(([, pid]) => Number(pid))
}

/** One request on a connection of its own. */
async function get (url: string, headers: Record<string, string> = {}): Promise<{ status: number, body: string }> {
  const asked = request(url, { agent: false, headers }).end()
  const [response] = await once(asked, 'response') as [IncomingMessage]
  return { status: response.statusCode ?? 0, body: await text(response) }
}

async function metric (service: Service, series: string): Promise<number> {
  const { body } = await get(`${service.url}/metrics`)
  const line = body.split('\n').find((each) => each.startsWith(`${series} `))
  return line === undefined ? 0 : Number(line.slice(series.length + 1))
}

async function isFree (url: string): Promise<boolean> {
  const server = createServer()
  return await new Promise((resolve) => {
    server.once('error', () => { resolve(false) })
    server.listen(Number(new URL(url).port), '127.0.0.1', () => { server.close(() => { resolve(true) }) })
  })
}

const LIVE = 'larder_http_request_duration_seconds_count{method="GET",route="/health/live",status="2xx"}'

t.test('several processes on one port', async (t) => {
  const service = await start(t, WORKERS)

  await t.test('share the connections, and what they count is summed whichever answers', async (t) => {
    t.equal(new Set(pidsOf(service)).size, WORKERS)
    for (let i = 0; i < 60; i++) t.equal((await get(`${service.url}/health/live`)).status, 200)
    for (let i = 0; i < WORKERS; i++) await eventually(async () => await metric(service, LIVE) === 60, 'all of them')
    const { body } = await get(`${service.url}/metrics`)
    for (let worker = 1; worker <= WORKERS; worker++) t.match(body, new RegExp(`^process_resident_memory_bytes\\{worker="${worker}"\\} \\d+`, 'm'))
    t.match(body, /^larder_processes 3$/m)
    t.equal(body.match(/^# TYPE larder_http_request_duration_seconds histogram$/mg)?.length, 1)
    t.notMatch(body, /^\S+ NaN$/m)
    const held = await Promise.all(Array.from({ length: 60 }, async () => {
      const asked = request(`${service.url}/events`, { agent: false }).end()
      await once(asked, 'response')
      return asked
    }))
    const sockets = async (worker: number) => await metric(service, `nodejs_active_resources{worker="${worker}",type="TCPSocketWrap"}`)
    const idle = Math.min(...await Promise.all([1, 2, 3].map(sockets)))
    t.ok(idle >= 4, `each has its part of the connections (${idle})`)
    for (const asked of held) asked.destroy()
  })

  await t.test('what is counted by namespace and by key is summed whichever answers', async (t) => {
    /** What all of them say in turn, until each is likely to have been asked. */
    const everybody = async (path: string): Promise<Record<string, unknown>[]> => {
      const answers: Record<string, unknown>[] = []
      for (let i = 0; i < 4 * WORKERS; i++) answers.push(JSON.parse((await get(`${service.url}${path}`)).body) as Record<string, unknown>)
      return answers
    }
    const asked = 20
    for (const namespace of ['one', 'two']) await send(`${service.url}/api/cache/set?namespace=${namespace}`, 'POST', { key: 'k', value: 1 })
    for (let i = 0; i < asked; i++) {
      for (const path of ['/api/cache/get/k?namespace=one', '/api/cache/get/absent?namespace=one', '/api/cache/get/k?namespace=two', '/api/posts/', '/products']) {
        t.equal((await get(`${service.url}${path}`)).status, 200)
      }
    }
    for (const { statistics, raw_stats: raw } of await everybody('/api/cache/stats?namespace=one')) {
      t.match(statistics, { total_items: 1, hits: asked, misses: asked, sets: 1, hit_rate: 50, miss_rate: 50 }, 'what is shared is told once')
      t.match(raw, { items: 1, hits: asked, breaker_state: 0 })
    }
    for (const { statistics } of await everybody('/api/cache/stats')) t.match(statistics, { total_items: 2, hits: 2 * asked, misses: asked, sets: 2 })
    for (const { hits, misses, top_keys: top, total_cached_keys: total } of await everybody('/metrics/cache')) {
      t.equal(Number(hits) + Number(misses), asked)
      t.strictSame([top, total], [[['GET:/api/posts/', asked]], 1])
    }
    const [first, ...others] = await everybody('/cache/stats')
    t.ok(Number(first?.['hits']) >= asked - WORKERS)
    for (const other of others) t.strictSame(other, first)

    interface Reply { analytics: CacheAnalytics }
    for (const { analytics } of await everybody('/api/cache/analytics?namespace=one') as unknown as Reply[]) {
      t.strictSame(new Map(analytics.hot_keys.keys.map(({ key, accesses }) => [key, accesses])), new Map([['k', asked], ['absent', asked]]))
      t.equal(analytics.access_patterns?.hours.reduce((sum, { hits, misses }) => sum + hits + misses, 0), 2 * asked)
      t.equal(analytics.memory_distribution.total_items, 1)
    }
    for (const { analytics } of await everybody('/api/cache/analytics') as unknown as Reply[]) {
      const read = analytics.backend_performance?.operations.find(({ backend, operation }) => backend === 'redis' && operation === 'get')
      t.match(read, { count: 3 * asked, recent_count: 3 * asked, error_count: 0 })
    }
  })

  await t.test('a breaker that is held open is so in all of them, until it is closed in all of them', async (t) => {
    const everybody = async (): Promise<Set<number>> => new Set((await Promise.all(Array.from({ length: 4 * WORKERS }, async () =>
      await get(`${service.url}/api/cache/keys?namespace=held`)))).map(({ status }) => status))
    t.match((await send(`${service.url}/admin/breakers/redis/open`, 'POST')).body, { name: 'redis', state: 'open', held: true })
    t.strictSame(await everybody(), new Set([503]))
    t.match((await send(`${service.url}/admin/breakers/redis/close`, 'POST')).body, { name: 'redis', state: 'closed', held: false, outages: 0 })
    t.strictSame(await everybody(), new Set([200]))
  })

  await t.test('how they do is told second by second of all of them together', async (t) => {
    const gone = new AbortController()
    const response = await fetch(`${service.url}/metrics/live`, { headers: { 'last-event-id': String(Date.now()) }, signal: gone.signal })
    const samples: LiveSample[] = []
    const parser = createParser({ onEvent: ({ data }) => { samples.push(JSON.parse(data) as LiveSample) } })
    const reading = (async () => {
      for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) parser.feed(Buffer.from(chunk).toString())
    })().catch((error: unknown) => { if (!gone.signal.aborted) throw error as Error })
    await eventually(() => samples.length > 0, 'a first sample', 10_000)
    const first = samples.length
    for (let i = 0; i < 60; i++) await get(`${service.url}/health/live`)
    const count = (): number => Math.round(samples.slice(first).reduce((sum, { requests, seconds }) => sum + requests.per_second * seconds, 0))
    await eventually(() => count() >= 60, 'all of them', 20_000)
    t.equal(count(), 60)
    await eventually(() => samples.at(-1)!.streams === 1, 'the other streams are gone', 20_000)
    const last = samples.at(-1)!
    t.match(last, { process: { processes: WORKERS }, parts: { redis: { status: 'up' } }, breakers: { redis: 'closed' } })
    t.ok(last.process.resident_bytes > WORKERS * 3e7)
    t.equal(last.backends[0]?.name, 'redis', 'the default one of several processes')
    gone.abort()
    await reading
  })

  await t.test('share what is cached: redis is the default, and there is no memory', async (t) => {
    t.match((await send(`${service.url}/api/cache/set`, 'POST', { key: 'k', value: 1 })).body, { success: true, backend: 'redis' })
    for (let i = 0; i < 2 * WORKERS; i++) t.match(JSON.parse((await get(`${service.url}/api/cache/get/k`)).body), { found: true, cache_item: { value: 1 } })
    for (const backend of ['memory', 'file']) {
      for (const strategy of [undefined, 'write_behind']) {
        const { status, body } = await send(`${service.url}/api/cache/set`, 'POST', { key: 'k', value: 1, backend, ...(strategy && { strategy }) })
        t.equal(status, 422)
        t.match(body['detail'], /each would have a (?:memory|file) backend of its own: use redis/)
      }
      t.equal((await send(`${service.url}/api/cache/config?backend=${backend}`)).status, 422)
    }
    t.match((await send(`${service.url}/api/cache/clear?backend=*`, 'POST')).body, { success: true, deleted_count: 1 })
    t.equal((await send<{ products: unknown[] }>(`${service.url}/products`)).status, 200)
  })

  await t.test('go on when one is killed: only what it was at fails, and no total falls', async (t) => {
    const before = await metric(service, LIVE)
    const over = new AbortController()
    const failures: number[] = []
    let answered = 0
    const clients = Array.from({ length: 6 }, async () => {
      while (!over.signal.aborted) {
        await get(`${service.url}/health/live`).then(({ status }) => { if (status === 200) answered++; else failures.push(status) }, () => { failures.push(0) })
      }
    })
    await eventually(() => answered > 50, 'load')
    const [victim] = pidsOf(service) as [number]
    let lowest = await metric(service, LIVE)
    process.kill(victim, 'SIGKILL')
    for (let i = 0; i < 10; i++) {
      const now = await metric(service, LIVE)
      t.ok(now >= lowest, `${now} is not less than ${lowest}`)
      lowest = now
    }
    await eventually(() => pidsOf(service).length === WORKERS + 1, 'another takes its place', 60_000)
    over.abort()
    await Promise.all(clients)
    t.ok(failures.length <= 6, `what failed was under way (${failures.length})`)
    t.ok(lowest > before)
    await eventually(async () => await metric(service, 'larder_process_restarts_total') === 1 && await metric(service, 'larder_processes') === WORKERS, 'all are there again')
  })

  await t.test('one that is told to end is replaced, and what it had counted stays', async (t) => {
    await eventually(async () => {
      const one = await metric(service, LIVE)
      return one === await metric(service, LIVE)
    }, 'rest')
    const before = await metric(service, LIVE)
    process.kill(pidsOf(service).at(-1) as number, 'SIGTERM')
    await eventually(() => pidsOf(service).length === WORKERS + 2, 'another takes its place', 60_000)
    t.equal(await metric(service, LIVE), before)
    t.match((await send(`${service.url}/api/cache/stats?namespace=one`)).body, { statistics: { hits: 20, misses: 20, sets: 1 } })
    const { analytics } = (await send<{ analytics: CacheAnalytics }>(`${service.url}/api/cache/analytics`)).body
    t.ok(analytics.backend_performance?.operations.some(({ operation, count }) => operation === 'get' && count >= 60))
    t.ok(analytics.access_patterns!.hours.reduce((sum, { hits }) => sum + hits, 0) >= 40)
  })

  await t.test('end together, with 0, and let go of the port', async (t) => {
    const listening = request(`${service.url}/events`, { agent: false }).end()
    const [stream] = await once(listening, 'response') as [IncomingMessage]
    const began = performance.now()
    service.kill('SIGTERM')
    await eventually(async () => (await get(`${service.url}/health/ready`)).status === 503, 'nobody is ready any more', 900)
    await text(stream)
    t.strictSame(await service.ended, { code: 0, signal: null })
    t.ok(performance.now() - began < 9000)
    t.ok(await isFree(service.url))
  })
})

t.test('a signal from a terminal reaches all of them at once, and the next one ends them', async (t) => {
  const [one, other] = await Promise.all([start(t), start(t)])
  for (const pid of [one.pid, ...pidsOf(one)]) process.kill(pid, 'SIGINT')
  t.strictSame(await one.ended, { code: 0, signal: null })
  other.kill('SIGTERM')
  await eventually(() => other.log().includes('SIGTERM: ending 2 processes'), 'the beginning of the end')
  other.kill('SIGTERM')
  t.strictSame(await other.ended, { code: 1, signal: null })
  await eventually(async () => await isFree(other.url), 'nobody is left')
})

t.test('an error that nothing catches in the one that leads ends them, with 1', async (t) => {
  const fault = join(temporaryFolder(t), 'fault.mjs')
  writeFileSync(fault, "import cluster from 'node:cluster'\nif (cluster.isPrimary) process.on('SIGUSR2', () => { throw new Error('nobody catches this') })\n")
  const service = await start(t, 2, { SHUTDOWN_DELAY: '0', NODE_OPTIONS: `--import=${fault}` })
  service.kill('SIGUSR2')
  t.strictSame(await service.ended, { code: 1, signal: null })
  t.match(service.log(), /stopping: an error that nothing caught/)
  t.equal(service.log().match(/told to end: finishing what is under way/g)?.length, 2, 'what is under way is finished')
})

t.test('they end when the one that leads them is killed', async (t) => {
  const service = await start(t, 2, { SHUTDOWN_DELAY: '0' })
  process.kill(service.pid, 'SIGKILL')
  await eventually(async () => await isFree(service.url), 'nobody is left', 10_000)
  await eventually(() => /told to end: finishing what is under way/.test(service.log()), 'they say so', 10_000)
})

t.test('what stops the start is said once', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => { taken.close() })
  const { port } = taken.address() as { port: number }
  const common = { DATABASE_URL: await databaseUrl(t), REDIS_URL: await redisUrl(t), WORKERS: '3', DATA_DIR: temporaryFolder(t) }
  for (const [env, line] of [
    [{ ...common, PORT: String(port) }, `larder: port ${port} on 127.0.0.1 is taken: stop what listens there, or give another PORT.`],
    [{ ...common, DATABASE_URL: '' }, 'larder: WORKERS=3 needs a PostgreSQL server, as the embedded one is for one process: give DATABASE_URL, such as postgres://user:password@localhost:5432/larder, or leave WORKERS out.']
  ] as const) {
    const error = await startService(t, env).then(() => undefined, (fault: unknown) => fault as Error)
    t.equal(error?.message.split('\n').filter((each) => each.includes('larder: ')).map((each) => each.slice(each.indexOf('larder: '))).join('\n'), line)
  }
})
