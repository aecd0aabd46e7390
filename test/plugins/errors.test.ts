import t, { type Test } from 'tap'
import createError from '@fastify/error'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { Type } from '@sinclair/typebox'
import { ref } from '../../schemas/common.js'
import { PROBLEM_BY_STATUS, PROBLEMS } from '../../schemas/problems.js'
import * as serviceErrors from '../../services/errors.js'
import * as cacheErrors from '../../services/cache/errors.js'
import { bare } from './bare.js'

const Order = Type.Object({
  count: Type.Number(),
  kind: Type.Optional(Type.Union([Type.Literal('a'), Type.Literal('b')]))
}, { $id: 'Order', additionalProperties: false, description: 'An order', examples: [{ count: 1 }] })

async function withErrors (errors: Record<string, () => Error>, logTo?: string[]): Promise<FastifyInstance> {
  const logger = logTo === undefined ? false : { level: 'warn', stream: { write: (line: string) => logTo.push(line) } }
  const app = await bare({ logger })
  for (const [name, make] of Object.entries(errors)) {
    app.get(`/fails/${name}`, { config: { scope: 'public' } }, async (_request, reply) => {
      reply.headers({ etag: '"x"', 'cache-status': 'larder; hit' })
      throw make()
    })
  }
  app.post('/orders', { config: { scope: 'public' }, schema: { body: ref(Order) } }, async () => 'ok')
  return app
}

function holdsProblem (t: Test, response: LightMyRequestResponse, status: number, slug: string) {
  t.equal(response.statusCode, status)
  t.equal(response.headers['content-type'], 'application/problem+json; charset=utf-8')
  t.equal(response.headers['cache-control'], 'no-store')
  t.match(response.json(), { type: `/problems/${slug}`, status, instance: response.headers['x-request-id'] as string })
}

t.test('an error of a service becomes a problem of its own type', async (t) => {
  const app = await withErrors({
    missing: () => new serviceErrors.NotFoundError('No item 7: list them at /items.'),
    conflict: () => new cacheErrors.PreconditionFailedError('user:1'),
    full: () => new cacheErrors.BackendFullError('redis'),
    teapot: () => Object.assign(new Error('short and stout'), { statusCode: 418, code: 'ERR_TEA_POT' })
  })
  const missing = await app.inject('/fails/missing')
  holdsProblem(t, missing, 404, 'not-found')
  t.match(missing.json(), { title: 'Not found', detail: 'No item 7: list them at /items.' })
  t.equal(missing.headers.etag, undefined, 'nothing of the answer that was meant remains')
  t.equal(missing.headers['cache-status'], undefined)
  holdsProblem(t, await app.inject('/fails/conflict'), 412, 'precondition-failed')
  holdsProblem(t, await app.inject('/fails/full'), 507, 'backend-full')
  const teapot = await app.inject('/fails/teapot')
  holdsProblem(t, teapot, 418, 'tea-pot')
  t.equal(teapot.json<{ title: string }>().title, 'Tea pot')
  await app.close()
})

t.test('every error class of the services has a page and a title of its own', async (t) => {
  const app = await bare()
  const classes = Object.values({ ...serviceErrors, ...cacheErrors }) as unknown as (new () => { code: string, statusCode: number })[]
  for (const Fault of classes) {
    const { code, statusCode } = new Fault()
    const slug = code.slice('ERR_'.length).toLowerCase().replaceAll('_', '-')
    t.equal(PROBLEMS[slug as keyof typeof PROBLEMS]?.[0], statusCode, `${code} is in the catalogue, with its status`)
    t.equal((await app.inject(`/problems/${slug}`)).statusCode, 200)
  }
  for (const [status, slug] of Object.entries(PROBLEM_BY_STATUS)) t.equal(PROBLEMS[slug][0], Number(status))
  await app.close()
})

t.test('a fault of the service shows nothing of itself, and is logged', async (t) => {
  const lines: string[] = []
  const app = await withErrors({
    bug: () => new TypeError('relation "users" of postgres://larder:hunter2@db/larder'),
    driver: () => Object.assign(new Error('select secret from users'), { code: '42P01' }),
    node: () => Object.assign(new Error('connect ECONNREFUSED 10.0.0.7:5432'), { code: 'ERR_SOCKET', statusCode: undefined }),
    gateway: () => Object.assign(new Error('redis://:hunter2@10.0.0.7'), { statusCode: 502 }),
    down: () => Object.assign(new serviceErrors.UnavailableError('Redis at redis://u:hunter2@10.0.0.7:6379/0 is down: start it.'), { cause: new Error('connect ECONNREFUSED') })
  }, lines)
  for (const name of ['bug', 'driver', 'node']) {
    const response = await app.inject(`/fails/${name}`)
    holdsProblem(t, response, 500, 'internal-error')
    t.equal(response.json<{ detail: string }>().detail, PROBLEMS['internal-error'][2])
  }
  const gateway = await app.inject('/fails/gateway')
  holdsProblem(t, gateway, 502, 'internal-error')
  t.notMatch(gateway.body, /hunter2/)
  const down = await app.inject('/fails/down')
  holdsProblem(t, down, 503, 'unavailable')
  t.equal(down.json<{ detail: string }>().detail, 'Redis at (address withheld) is down: start it.')
  t.equal(lines.length, 5, 'each is in the log')
  t.match(lines[0], /relation .*users/)
  t.match(lines[0], /"request_id":"/)
  t.match(JSON.parse(lines[4]!), { level: 40, code: 'ERR_UNAVAILABLE', reason: /^Redis at /, cause: 'connect ECONNREFUSED' })
  t.notMatch(lines[4], /stack/, 'an outage costs many requests, and is told of each in words alone')
  await app.close()
})

t.test('whatever is thrown is answered', async (t) => {
  const app = await withErrors({
    text: () => 'text' as unknown as Error,
    nothing: () => null as unknown as Error,
    status: () => Object.assign(new Error('odd'), { statusCode: 200 }),
    far: () => Object.assign(new Error('odd'), { statusCode: 1000 })
  })
  for (const name of ['text', 'nothing', 'status', 'far']) holdsProblem(t, await app.inject(`/fails/${name}`), 500, 'internal-error')
  await app.close()
})

t.test('Retry-After says when, in whole seconds, at least one', async (t) => {
  const Busy = createError('ERR_TOO_MANY_REQUESTS', 'Too many.', 429)
  const app = await withErrors({
    down: () => new serviceErrors.UnavailableError('It is down.'),
    busy: () => Object.assign(new Busy(), { retryAfter: 2.2 }),
    soon: () => Object.assign(new Busy(), { retryAfter: 0.01 }),
    login: () => Object.assign(new Error('no'), { statusCode: 401, headers: { 'www-authenticate': 'Bearer' } })
  })
  t.equal((await app.inject('/fails/down')).headers['retry-after'], '1')
  t.equal((await app.inject('/fails/busy')).headers['retry-after'], '3')
  t.equal((await app.inject('/fails/soon')).headers['retry-after'], '1')
  const login = await app.inject('/fails/login')
  holdsProblem(t, login, 401, 'unauthorized')
  t.equal(login.headers['www-authenticate'], 'Bearer')
  t.equal(login.headers['retry-after'], undefined)
  await app.close()
})

t.test('a body that does not validate names the field', async (t) => {
  const app = await withErrors({})
  const post = (payload: object | null) => app.inject({ method: 'POST', url: '/orders', payload: JSON.stringify(payload), headers: { 'content-type': 'application/json' } })
  t.match((await post({ count: '1' })).json(), { title: 'Invalid request', errors: [{ path: 'body/count', message: 'must be number' }] })
  t.match((await post({ count: 1, colour: 1 })).json(), { detail: /^body\/colour is not known here/, errors: [{ path: 'body/colour' }] })
  t.match((await post({})).json(), { errors: [{ path: 'body', message: /required property 'count'/ }] })
  t.match((await post(null)).json(), { errors: [{ path: 'body', message: 'must be object' }] })
  const long = await post({ count: 1, ['x'.repeat(100_000)]: 1 })
  holdsProblem(t, long, 400, 'invalid-request')
  t.ok(long.body.length < 1000, 'a name of the caller is repeated in part')
  await app.close()
})

t.test('a known path answers a wrong method with 405 and the methods that it takes', async (t) => {
  const app = await withErrors({})
  app.put('/things/:id', { config: { scope: 'public' } }, async () => 'ok')
  app.delete('/things/:id', { config: { scope: 'public' } }, async () => 'ok')
  app.get('/raw/*', { config: { scope: 'public' } }, async () => 'ok')
  const allowed = async (method: string, url: string) => {
    const response = await app.inject({ method: method as 'GET', url })
    holdsProblem(t, response, 405, 'method-not-allowed')
    return String(response.headers.allow).split(', ').sort().join(' ')
  }
  t.equal(await allowed('GET', '/things/7'), 'DELETE PUT')
  t.equal(await allowed('POST', '/things/a%2Fb/'), 'DELETE PUT')
  t.equal(await allowed('OPTIONS', '/things/7?x=1'), 'DELETE PUT')
  t.equal(await allowed('TRACE', '/things/7'), 'DELETE PUT')
  t.equal(await allowed('PURGE', '/things/7'), 'DELETE PUT')
  t.equal(await allowed('DELETE', '/raw/a/b'), 'GET HEAD')
  t.equal(await allowed('PUT', '/'), 'GET HEAD')
  const head = await app.inject({ method: 'HEAD', url: '/things/7' })
  t.equal(head.statusCode, 405)
  t.equal(head.body, '')
  await app.close()
})

t.test('an unknown path is 404 for every method', async (t) => {
  const app = await withErrors({})
  for (const method of ['GET', 'PUT', 'OPTIONS', 'TRACE', 'PURGE']) {
    holdsProblem(t, await app.inject({ method: method as 'GET', url: '/nowhere/at/all' }), 404, 'not-found')
  }
  t.equal((await app.inject({ method: 'PUT', url: '/nowhere' })).headers.allow, undefined)
  await app.close()
})
