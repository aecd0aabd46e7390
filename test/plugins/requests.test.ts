import t from 'tap'
import { Type } from '@sinclair/typebox'
import { requestId } from '../../plugins/requests.js'
import { bare } from './bare.js'

t.test('request ids', async (t) => {
  const given = (id: unknown) => requestId({ headers: { 'x-request-id': id as string } })
  t.equal(given('order-7_A'), 'order-7_A', 'a sane token of the caller is kept')
  for (const id of ['', 'a b', 'a\r\nset-cookie: x', 'ü', 'x'.repeat(65), ['a', 'b'], undefined]) {
    t.match(given(id), /^[A-Za-z0-9_-]{10,20}$/, 'anything else is replaced')
  }
  const some = new Set(Array.from({ length: 1000 }, () => requestId()))
  t.equal(some.size, 1000, 'they differ')
})

t.test('every response carries the id, whatever becomes of the request', async (t) => {
  const app = await bare()
  app.post('/closed', { config: { scope: 'public' }, schema: { body: Type.Object({}, { additionalProperties: false }) } }, async () => 'ok')
  const headers = { 'x-request-id': 'mine' }
  for (const [method, url, payload] of [
    ['GET', '/health/live'], ['HEAD', '/health/live'], ['GET', '/nowhere'], ['PUT', '/health/live'], ['GET', '/user/%zz'],
    ['GET', `/user/${'x'.repeat(2000)}`], ['GET', '/user?x=1'], ['POST', '/closed', '{'], ['POST', '/closed', '{"a":1}'], ['GET', '/assets/icon.svg']
  ] as const) {
    const response = await app.inject({ method, url, payload, headers: { ...headers, 'content-type': 'application/json' } })
    t.equal(response.headers['x-request-id'], 'mine', `${method} ${url.slice(0, 30)}`)
  }
  await app.close()
})

t.test('a query parameter that the route does not know is refused by name', async (t) => {
  const app = await bare()
  const scope = { scope: 'public' } as const
  app.get('/closed', { config: scope, schema: { querystring: Type.Object({ a: Type.Optional(Type.Integer()) }) } }, async (request) => request.query)
  app.get('/open', { config: scope, schema: { querystring: Type.Object({}, { additionalProperties: true }) } }, async (request) => request.query)
  app.post('/bare', { config: scope }, async () => 'ok')
  t.same((await app.inject('/closed?a=7')).json(), { a: 7 })
  t.same((await app.inject('/open?b=7')).json(), { b: '7' })
  t.equal((await app.inject({ method: 'POST', url: '/bare?' })).statusCode, 200)
  for (const [method, url, path] of [
    ['GET', '/closed?a=1&b=2', 'query/b'], ['GET', '/closed?__proto__=2', 'query/__proto__'], ['POST', '/bare?c', 'query/c'],
    ['GET', '/closed?a=x', 'query/a'], ['GET', '/closed?a=1&a=2', 'query/a']
  ] as const) {
    const response = await app.inject({ method, url })
    t.equal(response.statusCode, 400)
    t.equal(response.json<{ errors: { path: string }[] }>().errors[0]?.path, path)
  }
  t.equal((await app.inject('/nowhere?x=1')).statusCode, 404, 'where there is no route, that is what counts')
  await app.close()
})

t.test('a query that cannot be decoded is refused', async (t) => {
  const app = await bare()
  for (const query of ['name=%zz', 'name=%', 'name=%ff', 'name=%c3%28', '%e0%80=1']) {
    const response = await app.inject(`/user?${query}`)
    t.equal(response.statusCode, 400, query)
    t.match(response.json(), { type: '/problems/malformed-request', detail: /write %25/ })
  }
  t.equal((await app.inject('/user?name=100%25')).json<{ message: string }>().message, 'Hello, 100%!')
  await app.close()
})

t.test('each request is counted under its route and logged in a line', async (t) => {
  const text: string[] = []
  const app = await bare({ logTo: { write: (lines) => text.push(lines) } })
  app.get('/fails/:how', { config: { scope: 'public' } }, async () => { throw new Error('bug') })
  await app.inject('/user/Alice')
  await app.inject({ method: 'HEAD', url: '/user/Bob' })
  await app.inject('/fails/x')
  await app.inject('/nowhere')
  await app.inject({ method: 'DELETE', url: '/user/Bob' })
  await app.inject({ url: '/user/%zz?token=s', headers: { 'x-request-id': 'theirs' } })
  const scrape = (await app.inject('/metrics')).body
  const count = (labels: string) => Number(new RegExp(`^larder_http_request_duration_seconds_count\\{${labels}\\} (\\d+)$`, 'm').exec(scrape)?.[1])
  t.equal(count('method="GET",route="/user/:name",status="2xx"'), 1)
  t.equal(count('method="HEAD",route="/user/:name",status="2xx"'), 1)
  t.equal(count('method="GET",route="/fails/:how",status="5xx"'), 1)
  t.equal(count('method="any",route="\\(none\\)",status="4xx"'), 3)
  await app.close()
  const lines = text.join('').trimEnd().split('\n').map((line) => JSON.parse(line) as Record<string, unknown>)
  t.strictSame(lines.map(({ method, url, status }) => [method, url, status]), [
    ['GET', '/user/Alice', 200], ['HEAD', '/user/Bob', 200], ['GET', '/fails/x', 500], ['GET', '/nowhere', 404],
    ['DELETE', '/user/Bob', 405], ['GET', '/user/%zz?token=***', 400], ['GET', '/metrics', 200]
  ])
  t.equal(lines[5]?.request_id, 'theirs')
  t.equal(lines[0]?.bytes, '{"message":"Hello, Alice!"}'.length)
  t.type(lines[0]?.ms, 'number')
})

t.test('with metrics and access log off nothing is hooked behind a request', async (t) => {
  const app = await bare({ metrics: false })
  t.equal(app.observeUnrouted, undefined)
  t.equal((await app.inject('/metrics')).statusCode, 404)
  app.metrics.cacheOperation('memory', 'get').hit(1)
  await app.close()
})
