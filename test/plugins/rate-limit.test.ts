import { once } from 'node:events'
import { connect, type AddressInfo } from 'node:net'
import Fastify, { type FastifyInstance, type InjectOptions, type LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import accessLog from '../../plugins/access-log.js'
import components from '../../plugins/components.js'
import errors, { clientErrorHandler, frameworkErrors } from '../../plugins/errors.js'
import gatekeeper from '../../plugins/gatekeeper.js'
import metrics from '../../plugins/metrics.js'
import rateLimit from '../../plugins/rate-limit.js'
import requests, { requestId } from '../../plugins/requests.js'
import scopes from '../../plugins/scopes.js'
import security from '../../plugins/security.js'
import { badCredential } from '../../services/access/errors.js'
import { ScopeSet } from '../../services/access/scopes.js'
import { parseRates } from '../../services/limits/rates.js'

const KEY = 'the-administrators-own-key'

interface Limits { requests?: string, failedLogins?: string, trustProxy?: string[], required?: boolean }

async function start (t: Test, { requests: each = '5/hour', failedLogins = '3/hour', trustProxy, required = false }: Limits = {}): Promise<FastifyInstance> {
  const app = Fastify({ genReqId: requestId, frameworkErrors, clientErrorHandler, ...(trustProxy === undefined ? {} : { trustProxy }), routerOptions: { maxParamLength: 50 } })
  await app.register(components)
  await app.register(scopes)
  await app.register(metrics, { enabled: true })
  await app.register(accessLog, { enabled: false })
  await app.register(requests)
  await app.register(errors)
  await app.register(gatekeeper, { required, administratorKey: KEY })
  await app.register(rateLimit, { requests: parseRates(each), failedLogins: parseRates(failedLogins) })
  await app.register(security, { allowedOrigins: ['https://app.example'] })
  app.gatekeeper.add({
    recognises: (credential) => credential.startsWith('lk_'),
    authenticate: async (credential) => {
      const [, id = '', secret, limits] = credential.split('_')
      if (secret !== 'right') throw badCredential('wrong')
      return { kind: 'api_key', id: `key:${id}`, scopes: ScopeSet.of(['items:read']), ...(limits === undefined ? {} : { rateLimits: limits }) }
    }
  })
  app.get('/open', { config: { scope: 'public' } }, async () => 'open')
  app.get('/probe', { config: { scope: 'public', rateLimit: false } }, async () => 'alive')
  app.get('/items', { config: { scope: 'items:read' } }, async () => 'items')
  app.post('/items', { config: { scope: 'items:write' } }, async () => 'stored')
  app.get('/items/:name', { config: { scope: 'items:read' } }, async () => 'item')
  app.get('/own', { config: { scope: 'public', rateLimit: { limits: '2 per minute' } } }, async () => 'own')
  app.get('/max', { config: { scope: 'public', rateLimit: { max: 1, timeWindow: '1 minute' } } }, async () => 'max')
  app.get('/dear', { config: { scope: 'public', rateLimit: { cost: 3 } } }, async () => 'dear')
  app.get('/dearest', { config: { scope: 'public', rateLimit: { cost: 100 } } }, async () => 'dearest')
  app.post('/batch', {
    config: { scope: 'public', rateLimit: { cost: ({ body }) => (body as unknown[]).length } }, schema: { body: { type: 'array' } }
  }, async () => 'batch')
  t.teardown(async () => app.close())
  await app.ready()
  return app
}

/** The statuses of so many of the same. */
async function statuses (app: FastifyInstance, count: number, request: InjectOptions | string): Promise<number[]> {
  const all: number[] = []
  for (let i = 0; i < count; i++) all.push((await app.inject(request as InjectOptions)).statusCode)
  return all
}

/** What the structured field says of a policy. */
function left ({ headers }: LightMyRequestResponse): { name: string, r: number, t: number } {
  const [, name = '', r, t] = /^"([^"]+)";r=(\d+);t=(\d+)$/.exec(String(headers['ratelimit'])) ?? []
  return { name, r: Number(r), t: Number(t) }
}

t.test('an address has its quota, and every answer says what is left of it', async (t) => {
  const app = await start(t)
  for (let r = 4; r >= 0; r--) {
    const answer = await app.inject('/items')
    t.equal(answer.statusCode, 200)
    t.equal(answer.headers['ratelimit-policy'], '"per-hour";q=5;w=3600')
    t.match(left(answer), { name: 'per-hour', r })
    t.ok(left(answer).t > 0 && left(answer).t <= 720)
  }
  const refused = await app.inject('/items')
  t.equal(refused.statusCode, 429)
  t.equal(refused.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.equal(refused.headers['cache-control'], 'no-store')
  t.match(refused.json(), { type: '/problems/too-many-requests', status: 429, 'violated-policies': ['per-hour'], detail: /5 per hour/ })
  t.equal(refused.headers['ratelimit-policy'], '"per-hour";q=5;w=3600')
  const after = Number(refused.headers['retry-after'])
  t.ok(Number.isInteger(after) && after >= 1 && after >= left(refused).t && after <= 720)
  t.equal(left(refused).r, 0)
  t.equal((await app.inject({ url: '/items', remoteAddress: '127.0.0.2' })).statusCode, 200, 'another address has its own')
  t.match(await app.metrics.render(), /larder_rate_limit_rejections_total\{policy="per-hour"\} 1\n/)
})

t.test('who waits as long as Retry-After says gets through', async (t) => {
  const app = await start(t, { requests: '2/second' })
  await statuses(app, 2, '/items')
  const refused = await app.inject('/items')
  t.equal(refused.statusCode, 429)
  await new Promise((resolve) => setTimeout(resolve, Number(refused.headers['retry-after']) * 1000))
  t.equal((await app.inject('/items')).statusCode, 200)
})

t.test('a browser may read the headers', async (t) => {
  const app = await start(t, { requests: '1/hour' })
  for (const status of [200, 429]) {
    const { statusCode, headers } = await app.inject({ url: '/items', headers: { origin: 'https://app.example' } })
    t.equal(statusCode, status)
    for (const name of ['ratelimit', 'ratelimit-policy', 'retry-after']) t.match(headers['access-control-expose-headers'], new RegExp(`\\b${name}\\b`))
    t.equal(headers['access-control-allow-origin'], 'https://app.example')
  }
})

t.test('a credential has a quota of its own, wherever it comes from', async (t) => {
  const app = await start(t)
  const headers = { 'x-api-key': 'lk_a_right' }
  t.strictSame(await statuses(app, 3, { url: '/items', headers }), [200, 200, 200])
  t.strictSame(await statuses(app, 3, { url: '/items', headers, remoteAddress: '127.0.0.2' }), [200, 200, 429])
  t.equal((await app.inject('/items')).statusCode, 200, 'its address has its own')
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': 'lk_b_right' } })).statusCode, 200)
  t.equal((await app.inject({ url: '/items', headers: { 'x-api-key': KEY } })).statusCode, 200)
})

t.test('a credential’s own limits stand in the place of those for everybody, but not of a route’s', async (t) => {
  const app = await start(t)
  const headers = { 'x-api-key': 'lk_c_right_7/hour' }
  t.strictSame(await statuses(app, 8, { url: '/items', headers }), [...new Array<number>(7).fill(200), 429])
  const refused = await app.inject({ url: '/items', headers })
  t.strictSame(refused.json<{ 'violated-policies': string[] }>()['violated-policies'], ['key-per-hour'])
  t.strictSame(await statuses(app, 3, { url: '/own', headers }), [200, 200, 429])
})

t.test('refusals are counted on, however many different limits credentials have', async (t) => {
  const app = await start(t)
  const refusals = async () => Number(/^larder_rate_limit_rejections_total\{policy="key-per-hour"\} (\d+)$/m.exec(await app.metrics.render())?.[1])
  const headers = { 'x-api-key': 'lk_c_right_1/hour' }
  t.strictSame(await statuses(app, 3, { url: '/items', headers }), [200, 429, 429])
  t.equal(await refusals(), 2)
  for (let quota = 1; quota <= 1000; quota++) await app.inject({ url: '/items', headers: { 'x-api-key': `lk_d_right_${quota}/day` } })
  t.equal(await refusals(), 2)
  t.strictSame(await statuses(app, 1, { url: '/items', headers }), [429])
  t.equal(await refusals(), 3)
})

t.test('routes have what their config says', async (t) => {
  const app = await start(t)
  t.strictSame(await statuses(app, 3, '/own'), [200, 200, 429])
  const refused = await app.inject('/own')
  t.match(refused.headers, { 'ratelimit-policy': '"route-per-minute";q=2;w=60' })
  t.match(refused.json(), { detail: /^Too many requests: 2 per minute are permitted\. Wait/ })
  t.strictSame(await statuses(app, 1, { url: '/own', method: 'HEAD' }), [429], 'HEAD is the same route')
  t.strictSame(await statuses(app, 2, '/max'), [200, 429])
  t.match((await app.inject('/max')).headers, { 'ratelimit-policy': '"route-per-60-seconds";q=1;w=60' })
  t.strictSame(await statuses(app, 20, '/probe'), new Array(20).fill(200))
  t.equal((await app.inject('/probe')).headers['ratelimit'], undefined)
  t.match(left(await app.inject('/dear')), { r: 2 }, 'none of these took of the common quota; this takes three')
  t.equal((await app.inject('/dear')).statusCode, 429)
  t.match(left(await app.inject('/open')), { r: 1 }, 'what was refused has cost nothing')
})

t.test('a route never costs more than the quota', async (t) => {
  const app = await start(t)
  t.match(left(await app.inject('/dearest')), { r: 0 })
})

t.test('a batch costs what it holds', async (t) => {
  const app = await start(t, { requests: '10/hour' })
  const batch = (size: number) => app.inject({ method: 'POST', url: '/batch', payload: new Array(size).fill('k') })
  t.match(left(await batch(4)), { r: 6 })
  t.match(left(await batch(0)), { r: 5 }, 'every request costs one')
  const refused = await batch(6)
  t.equal(refused.statusCode, 429)
  t.match(left(refused), { r: 5 }, 'and a refused one nothing')
  t.equal((await batch(5)).statusCode, 200)
  const impossible = await app.inject({ method: 'POST', url: '/batch', payload: new Array(11).fill('k'), remoteAddress: '127.0.0.9' })
  t.match([impossible.statusCode, impossible.json()], [422, { detail: /counts as 11, and the limit is 10: send less/ }])
})

t.test('what goes to no route, is malformed, or is turned away counts, too', async (t) => {
  const faults: Record<string, [status: number, request: InjectOptions]> = {
    'no such path': [404, { url: '/nowhere' }],
    'no such method': [405, { url: '/items', method: 'PUT' }],
    'a path that cannot be decoded': [400, { url: '/items/%zz' }],
    'a part that is too long': [414, { url: `/items/${'a'.repeat(60)}` }],
    'a query that cannot be decoded': [400, { url: '/items?a=%zz' }],
    'a query that is not known': [400, { url: '/items?a=1' }],
    'no credential': [401, { url: '/items', remoteAddress: '10.0.0.1' }],
    'two credentials': [400, { url: '/items', headers: { 'x-api-key': KEY, authorization: `Bearer ${KEY}` } }],
    'a credential that does not permit it': [403, { url: '/items', method: 'POST', headers: { 'x-api-key': 'lk_a_right' } }]
  }
  for (const [name, [status, request]] of Object.entries(faults)) {
    const app = await start(t, { requests: '2/hour' })
    t.strictSame(await statuses(app, 4, request), [status, status, 429, 429], name)
    const refused = await app.inject(request)
    t.match(refused.json(), { 'violated-policies': ['per-hour'] })
    t.ok(Number(refused.headers['retry-after']) >= 1)
    t.ok(refused.headers['ratelimit-policy'] !== undefined && refused.headers['x-request-id'] !== undefined)
  }
})

t.test('what cannot be read as a request counts for its address', async (t) => {
  const app = await start(t, { requests: '2/hour' })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const raw = async (text: string, localAddress = '127.0.0.1'): Promise<string> => {
    const socket = connect({ port: (app.server.address() as AddressInfo).port, host: '127.0.0.1', localAddress })
    let answer = ''
    socket.setEncoding('latin1').on('data', (chunk: string) => { answer += chunk })
    socket.write(text)
    await once(socket, 'close')
    return answer
  }
  const first = await raw('nonsense\r\n\r\n')
  t.match(first, /^HTTP\/1\.1 400 /)
  t.match(first, /\r\nratelimit: "per-hour";r=1;t=\d+\r\n/)
  t.match(await raw('GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'), /^HTTP\/1\.1 400 /)
  const refused = await raw('nonsense\r\n\r\n')
  t.match(refused, /^HTTP\/1\.1 429 [\s\S]*\r\nretry-after: [1-9]\d*\r\n/)
  t.match(JSON.parse(refused.slice(refused.indexOf('\r\n\r\n'))), { type: '/problems/too-many-requests', status: 429, 'violated-policies': ['per-hour'] })
  t.equal((await app.inject({ url: '/open', remoteAddress: '127.0.0.1' })).statusCode, 429, 'in one quota with its requests')
  t.match(await raw('nonsense\r\n\r\n', '127.0.0.9'), /^HTTP\/1\.1 400 /, 'others have theirs')
})

t.test('a source has one quota for all of this', async (t) => {
  const app = await start(t, { requests: '4/hour' })
  t.strictSame([...await statuses(app, 1, '/nowhere'), ...await statuses(app, 1, '/items?a=1'), ...await statuses(app, 3, '/items')], [404, 400, 200, 200, 429])
})

t.test('an address is believed from a trusted proxy alone', async (t) => {
  const forwarded = (remoteAddress: string, address: string): InjectOptions => ({ url: '/open', remoteAddress, headers: { 'x-forwarded-for': address } })
  const app = await start(t, { requests: '3/hour' })
  for (let i = 0; i < 3; i++) t.equal((await app.inject(forwarded('10.0.0.1', `192.0.2.${i}`))).statusCode, 200)
  t.equal((await app.inject(forwarded('10.0.0.1', '192.0.2.9'))).statusCode, 429, 'nobody is trusted')

  const behind = await start(t, { requests: '3/hour', trustProxy: ['10.0.0.0/8'] })
  for (let i = 0; i < 9; i++) t.equal((await behind.inject(forwarded('10.0.0.1', `192.0.2.${i}`))).statusCode, 200)
  for (let i = 0; i < 3; i++) await behind.inject(forwarded('11.0.0.1', `192.0.2.${i}`))
  t.equal((await behind.inject(forwarded('11.0.0.1', '192.0.2.20'))).statusCode, 429, 'not the proxy')
  for (let i = 0; i < 3; i++) await behind.inject(forwarded('10.0.0.1', `198.51.100.${i}, 203.0.113.7`))
  t.equal((await behind.inject(forwarded('10.0.0.1', '198.51.100.99, 203.0.113.7'))).statusCode, 429, 'what the proxy wrote itself is the last')
})

t.test('an IPv6 network of 64 bits is one caller, and so is an IPv4 address in either form', async (t) => {
  const app = await start(t, { requests: '2/hour' })
  const from = async (remoteAddress: string) => (await app.inject({ url: '/open', remoteAddress })).statusCode
  t.strictSame([await from('2001:db8:1:1::1'), await from('2001:db8:1:1::2'), await from('2001:db8:1:1:ffff::'), await from('2001:db8:1:2::1')], [200, 200, 429, 200])
  t.strictSame([await from('192.0.2.1'), await from('::ffff:192.0.2.1'), await from('::ffff:c000:201')], [200, 200, 429])
})

t.test('too many credentials that do not hold are not looked at any more', async (t) => {
  const app = await start(t, { requests: '1000/hour' })
  const attempt = (key: string, remoteAddress = '10.0.0.1') => app.inject({ url: '/items', headers: { 'x-api-key': key }, remoteAddress })
  t.equal((await attempt('lk_neighbour_right')).statusCode, 200)
  for (let i = 0; i < 3; i++) t.equal((await attempt(`lk_k${i}_wrong`)).statusCode, 401)
  const blocked = await attempt('lk_k9_wrong')
  t.equal(blocked.statusCode, 429)
  t.match(blocked.json(), { 'violated-policies': ['failed-logins-per-hour'] })
  t.ok(Number(blocked.headers['retry-after']) > 60)
  t.equal((await attempt('lk_new_right')).statusCode, 429, 'a guess that is right is not told from one that is wrong')
  t.equal((await attempt('lk_neighbour_right')).statusCode, 200, 'what was valid lately is let through')
  t.equal((await attempt('lk_new_right', '10.0.0.2')).statusCode, 200, 'from elsewhere it is')
  t.equal((await app.inject({ url: '/open', remoteAddress: '10.0.0.1' })).statusCode, 200, 'who presents none is asked for none')
})

t.test('the failures of one key are limited, from however many addresses they come', async (t) => {
  const app = await start(t, { requests: '1000/hour' })
  const attempt = async (key: string, n: number) => (await app.inject({ url: '/items', headers: { authorization: `Bearer ${key}` }, remoteAddress: `10.0.1.${n}` })).statusCode
  for (let i = 0; i < 3; i++) t.equal(await attempt('lk_victim_wrong', i), 401)
  t.equal(await attempt('lk_victim_wrong', 9), 429)
  t.equal(await attempt('lk_other_wrong', 9), 401)
})

t.test('what config.rateLimit cannot have here is refused at the start', async (t) => {
  const app = Fastify()
  await app.register(scopes)
  await app.register(metrics, { enabled: false })
  await app.register(gatekeeper)
  await app.register(rateLimit, { requests: parseRates('5/hour'), failedLogins: parseRates('5/hour') })
  t.throws(() => app.get('/a', { config: { scope: 'public', rateLimit: { max: 1, ban: 3 } } }, async () => ''), { message: /GET \/a: config\.rateLimit\.ban is not honoured/ })
  t.throws(() => app.get('/b', { config: { scope: 'public', rateLimit: { limits: 'often' } } }, async () => ''), { message: /10\/hour/ })
  await app.close()
})

t.test('handlers that @fastify/rate-limit makes count by the same means', async (t) => {
  const app = Fastify()
  await app.register(scopes)
  await app.register(metrics, { enabled: false })
  await app.register(gatekeeper, { required: false })
  await app.register(rateLimit, { requests: parseRates('5/hour'), failedLogins: parseRates('5/hour') })
  const check = app.createRateLimit({ max: 2, timeWindow: '1 minute' })
  app.get('/a', { config: { scope: 'public', rateLimit: false } }, async (request) => await check(request))
  const ask = async () => (await app.inject('/a')).json<{ isExceeded: boolean, remaining: number, ttl: number }>()
  t.match(await ask(), { isExceeded: false, remaining: 1 })
  t.match(await ask(), { isExceeded: false, remaining: 0 })
  const refused = await ask()
  t.match(refused, { isExceeded: true, remaining: 0 })
  t.ok(refused.ttl > 0 && refused.ttl <= 30_000)
  await app.close()
})
