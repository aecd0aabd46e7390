import { once } from 'node:events'
import { connect } from 'node:net'
import { Agent, request as httpRequest, type IncomingHttpHeaders } from 'node:http'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { eventually } from './support/caches.js'
import { databaseUrl, startRedis } from './support/servers.js'
import { type Service, startService } from './support/service.js'

interface Answer { status: number, headers: IncomingHttpHeaders, body: string }

const agent = new Agent({ keepAlive: true, maxSockets: 16 })
t.teardown(() => { agent.destroy() })

/** A request from one of the addresses of this machine. */
async function ask ({ url }: Service, path: string, from = '127.0.0.1', headers: Record<string, string> = {}, method = 'GET', body?: string): Promise<Answer> {
  return await new Promise((resolve, reject) => {
    httpRequest(url + path, { method, headers, agent, localAddress: from }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => { text += chunk }).on('end', () => {
        resolve({ status: response.statusCode!, headers: response.headers, body: text })
      }).on('error', reject)
    }).on('error', reject).end(body)
  })
}

async function count (services: Service[], requests: number, from: string): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  const answers = await Promise.all(Array.from({ length: requests }, async (_, i) => await ask(services[i % services.length]!, '/user', from)))
  for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1)
  return statuses
}

async function two (t: Test, env: Record<string, string>) {
  const redis = await startRedis(t)
  const common = { DATABASE_URL: await databaseUrl(t), REDIS_URL: redis.url, LOG_LEVEL: 'info', ...env }
  const services = await Promise.all([startService(t, common), startService(t, common)])
  return { redis, services, perProcess: async (from: string) => await Promise.all(services.map(async (one) => await gauge(one, from))) }
}

async function gauge (service: Service, from: string): Promise<number> {
  const { body } = await ask(service, '/metrics', from)
  return Number(/^larder_rate_limit_per_process (\d)$/m.exec(body)?.[1])
}

t.test('two processes permit together what one would', async (t) => {
  const { services } = await two(t, { RATE_LIMITS: '600/minute', CACHE_DEADLINE: '1000' })
  const began = performance.now()
  let allowed = 0
  let last = began
  while (performance.now() - began < 4000) {
    const statuses = await count(services, 40, '127.0.0.2')
    allowed += statuses.get(200) ?? 0
    t.equal((statuses.get(200) ?? 0) + (statuses.get(429) ?? 0), 40)
    last = performance.now()
  }
  const bound = 600 + (last - began) / 100 + 1
  t.ok(allowed <= bound, `${allowed} of ${bound}`)
  // What came back between the last asking and its answer may still be there.
  t.ok(allowed >= 0.99 * bound - 10, `${allowed} of ${bound}`)
})

t.test('ten an hour are ten, and then there is a time to wait', async (t) => {
  const { services } = await two(t, { RATE_LIMITS: '10/hour', CACHE_DEADLINE: '1000' })
  t.strictSame([...await count(services, 10, '127.0.0.2')], [[200, 10]])
  for (const service of services) {
    const refused = await ask(service, '/user', '127.0.0.2')
    t.match(refused, { status: 429, headers: { 'ratelimit-policy': '"per-hour";q=10;w=3600', ratelimit: /^"per-hour";r=0;t=\d+$/ } })
    t.ok(Number(refused.headers['retry-after']) <= 360)
  }
  for (let i = 0; i < 5; i++) t.equal((await ask(services[0], '/user', '127.0.0.2', { 'x-forwarded-for': `10.0.0.${i}` })).status, 429, 'nobody believes it')
  t.equal((await ask(services[1], '/user', '127.0.0.3')).status, 200)
  t.equal((await ask(services[0], '/health/live', '127.0.0.2')).status, 200, 'a probe is answered')
  const batch = await ask(services[0], '/api/cache/get-batch', '127.0.0.4', { 'content-type': 'application/json' }, 'POST', JSON.stringify(['a', 'b', 'c', 'd']))
  t.match([batch.status, batch.headers['ratelimit']], [200, /r=6;/])
})

t.test('what cannot be read as a request is counted by both, for its address', async (t) => {
  const { services } = await two(t, { RATE_LIMITS: '6/hour', CACHE_DEADLINE: '1000' })
  const nonsense = async ({ url }: Service, localAddress: string): Promise<number> => {
    const socket = connect({ port: Number(new URL(url).port), host: '127.0.0.1', localAddress })
    let text = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => { text += chunk })
    // In two pieces: what follows while the first is being counted is no second fault.
    socket.write('nonsense\r\n')
    socket.write('more of it\r\n\r\n')
    await once(socket, 'close')
    t.equal(text.match(/HTTP\/1\.1 /g)?.length, 1)
    return Number(/^HTTP\/1\.1 (\d{3})/.exec(text)?.[1])
  }
  const statuses: number[] = []
  for (let i = 0; i < 8; i++) statuses.push(await nonsense(services[i % 2]!, '127.0.0.5'))
  t.strictSame(statuses, [400, 400, 400, 400, 400, 400, 429, 429])
  t.equal((await ask(services[0], '/user', '127.0.0.5')).status, 429)
  t.equal((await ask(services[1], '/user', '127.0.0.6')).status, 200)
})

t.test('a proxy that is trusted names the callers', async (t) => {
  const service = await startService(t, { DATABASE_URL: await databaseUrl(t), RATE_LIMITS: '2/hour', TRUSTED_PROXIES: '127.0.0.9/32', ALLOW_UNAUTHENTICATED: 'true' })
  for (let i = 0; i < 5; i++) t.equal((await ask(service, '/user', '127.0.0.9', { 'x-forwarded-for': `10.0.0.${i}` })).status, 200)
  const statuses = []
  for (let i = 0; i < 3; i++) statuses.push((await ask(service, '/user', '127.0.0.8', { 'x-forwarded-for': `10.0.1.${i}` })).status)
  t.strictSame(statuses, [200, 200, 429])
})

t.test('who waits as long as Retry-After says gets through', async (t) => {
  const { services } = await two(t, { RATE_LIMITS: '3/3 seconds', CACHE_DEADLINE: '1000' })
  await count(services, 4, '127.0.0.2')
  const refused = await ask(services[0], '/user', '127.0.0.2')
  t.equal(refused.status, 429)
  await new Promise((resolve) => setTimeout(resolve, 1000 * Number(refused.headers['retry-after'])))
  t.equal((await ask(services[0], '/user', '127.0.0.2')).status, 200)
})

const outages = {
  hangs: { begin: async (redis: Awaited<ReturnType<typeof startRedis>>) => { redis.pause() }, end: async (redis: Awaited<ReturnType<typeof startRedis>>) => { redis.resume() } },
  'is killed, and comes back empty': { begin: async (redis: Awaited<ReturnType<typeof startRedis>>) => { await redis.kill() }, end: async (redis: Awaited<ReturnType<typeof startRedis>>) => { await redis.restart() } },
  'is full': {
    begin: async ({ url }: { url: string }) => { await configure(url, '1') },
    end: async ({ url }: { url: string }) => { await configure(url, '0') }
  }
}

async function configure (url: string, maxmemory: string): Promise<void> {
  const client = new Redis(url)
  await client.config('SET', 'maxmemory-policy', 'noeviction')
  await client.config('SET', 'maxmemory', maxmemory)
  client.disconnect()
}

for (const [name, { begin, end }] of Object.entries(outages)) {
  t.test(`when Redis ${name}, the limits hold in each process, and together again afterwards`, async (t) => {
    const { redis, services, perProcess } = await two(t, { RATE_LIMITS: '20/hour' })
    t.strictSame([...await count(services, 20, '127.0.0.2')], [[200, 20]])
    for (const service of services) t.equal((await ask(service, '/user', '127.0.0.2')).status, 429)
    await begin(redis)
    for (const service of services) t.equal((await ask(service, '/user', '127.0.0.2')).status, 429, 'who had nothing left has nothing now')

    const first = performance.now()
    const answer = await ask(services[0], '/user', '127.0.0.3')
    t.equal(answer.status, 200)
    t.ok(performance.now() - first < 5000, 'within the deadline of 200 ms, and slack for a busy machine')
    t.match(answer.headers['ratelimit'], /;detail="per-process"$/)
    const statuses = await count(services, 80, '127.0.0.3')
    t.strictSame([...statuses.keys()].sort(), [200, 429], 'never an error')
    t.ok(statuses.get(200)! >= 19 && statuses.get(200)! <= 40, `${statuses.get(200)}: the quota in each process`)
    t.ok((await perProcess('127.0.0.4')).includes(1), 'the metric says so')
    t.match(services[0].log(), /Redis does not count requests/)

    await end(redis)
    let callers = 0
    await eventually(async () => {
      // Who has used up its quota is refused without asking Redis.
      const from = `127.0.${1 + (++callers >> 7)}.${1 + (callers & 127)}`
      const answers = await Promise.all(services.map(async (one) => await ask(one, '/user', from)))
      // A few answers in a row have to say so before it is relied on.
      return !answers.some(({ headers }) => /detail/.test(String(headers['ratelimit']))) && services[0].log().includes('Redis counts requests again')
    }, 'Redis counts again', 15_000)
    for (const from of ['127.0.0.2', '127.0.0.3']) {
      for (const service of services) t.equal((await ask(service, '/user', from)).status, 429, 'what was used meanwhile is used')
    }
  })
}

t.test('other limits are in force in both within a second, and who had used up theirs has nothing new', async (t) => {
  const { services } = await two(t, { RATE_LIMITS: '50/hour', CACHE_DEADLINE: '1000' })
  const [one, other] = services
  t.strictSame(await count(services, 60, '127.0.0.3'), new Map([[200, 50], [429, 10]]))
  const change = async (value: string): Promise<void> => {
    const { status } = await ask(one, '/config/rate_limits.requests', '127.0.0.1', { 'content-type': 'application/json', 'if-match': '*' }, 'PUT', JSON.stringify({ value }))
    t.equal(status, 200)
    await eventually(async () => {
      const { headers } = await ask(other, '/health/ready', '127.0.0.5').then(async () => await ask(other, '/user', '127.0.0.5'))
      return String(headers['ratelimit-policy']).includes(`q=${value.split('/')[0]};`)
    }, `${value} holds in the other process`, 5000)
  }
  for (const value of ['1000/hour', '500/day', '200/minute']) {
    await change(value)
    for (const service of services) {
      const { status, headers } = await ask(service, '/user', '127.0.0.3')
      t.ok(status === 429 || Number(/r=(\d+)/.exec(String(headers['ratelimit']))?.[1]) <= 20, `${value}: exhausted as before, but for what has come back since`)
    }
  }
  t.strictSame(await count(services, 30, '127.0.0.4'), new Map([[200, 30]]), 'who has used little is served')
  t.match(await ask(other, '/config/rate_limits.requests?explain=true'), { body: /"layers":\[.*"50\/hour".*"200\/minute"/ })
})
