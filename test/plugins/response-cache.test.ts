import { setImmediate as immediate } from 'node:timers/promises'
import { Readable } from 'node:stream'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import t from 'tap'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import responseCache, { type ResponseCaching } from '../../plugins/response-cache.js'
import { Cache } from '../../services/cache/cache.js'
import { DEFAULT_LIMITS } from '../../services/cache/limits.js'
import { LocalStore } from '../../services/cache/stores/local-store.js'
import { NotFoundError } from '../../services/errors.js'
import type { Owner } from '../support/servers.js'

type Handler = (request: FastifyRequest, reply: FastifyReply, n: number) => unknown

/** A bare application with one cached route at `/value`, and a clock of its own. */
async function serving (owner: Owner, handler: Handler = (_request, _reply, n) => ({ n }), caching: Partial<ResponseCaching> = {}) {
  const app = Fastify()
  owner.teardown(() => app.close())
  let now = 1_700_000_000_000
  await app.register(health)
  await app.register(metrics, { enabled: true })
  await app.register(fp(async (app) => {
    const cache = new Cache({ store: new LocalStore({ now: () => now, limits: DEFAULT_LIMITS }), now: () => now, namespace: 'app' })
    app.decorate('cache', cache)
    app.addHook('onClose', async () => { await cache.close() })
  }, { name: 'cache' }))
  await app.register(responseCache)
  let runs = 0
  app.get('/value', { config: { cache: { ttl: 60, staleIfError: 0, ...caching } } }, (request, reply) => handler(request, reply, ++runs))
  const get = async (headers: Record<string, string> = {}, url = '/value', method: 'GET' | 'HEAD' = 'GET') => await app.inject({ method, url, headers })
  const status = async (...of: Parameters<typeof get>) => String((await get(...of)).headers['cache-status'])
  return { app, get, status, runs: () => runs, pass: (seconds: number) => { now += seconds * 1000 } }
}

const KEY = 'key="GET:/value"'
const MISS = `larder; fwd=uri-miss; stored; ${KEY}`

t.test('an answer is made once, then served', async (t) => {
  const { get, runs, pass } = await serving(t)
  const miss = await get()
  t.equal(miss.body, '{"n":1}')
  t.match(miss.headers, { 'cache-status': MISS, age: '0', 'cache-control': 'no-cache', 'content-type': 'application/json; charset=utf-8' })
  pass(10)
  const hit = await get()
  t.equal(hit.body, '{"n":1}')
  t.match(hit.headers, { 'cache-status': `larder; hit; ttl=50; ${KEY}`, age: '10', etag: miss.headers.etag, 'content-type': miss.headers['content-type'] })
  pass(50)
  t.equal((await get()).headers['cache-status'], MISS)
  t.equal(runs(), 2)
})

t.test('what a handler may answer with', async (t) => {
  const kept: Record<string, [Handler, body: string | Buffer, type: string]> = {
    'an object': [(_request, _reply, n) => ({ n }), '{"n":1}', 'application/json; charset=utf-8'],
    'an object, through a promise': [async () => ({ ü: '😀' }), '{"ü":"😀"}', 'application/json; charset=utf-8'],
    'an object that is sent': [(_request, reply) => reply.send([1]), '[1]', 'application/json; charset=utf-8'],
    'an object that is sent later': [(_request, reply) => { setImmediate(() => { void reply.send({ later: true }) }) }, '{"later":true}', 'application/json; charset=utf-8'],
    'an object that is sent later by a promise': [async (_request, reply) => { await immediate(); return reply.send({ later: true }) }, '{"later":true}', 'application/json; charset=utf-8'],
    'a string': [() => 'text with "quotes" \u{1F600}\n', 'text with "quotes" \u{1F600}\n', 'text/plain; charset=utf-8'],
    'a string of JSON': [(_request, reply) => reply.type('application/json').send('{ "a": 1.0 }'), '{ "a": 1.0 }', 'application/json; charset=utf-8'],
    'an empty string': [() => '', '', 'text/plain; charset=utf-8'],
    bytes: [() => Buffer.from([0, 255, 1]), Buffer.from([0, 255, 1]), 'application/octet-stream'],
    'a long text': [() => 'ä'.repeat(100_000), 'ä'.repeat(100_000), 'text/plain; charset=utf-8'],
    'a long object': [() => ({ text: 'ä'.repeat(100_000) }), `{"text":"${'ä'.repeat(100_000)}"}`, 'application/json; charset=utf-8']
  }
  for (const [name, [handler, body, type]] of Object.entries(kept)) {
    const { get, runs } = await serving(t, handler)
    for (const status of [MISS, `larder; hit; ttl=60; ${KEY}`]) {
      const answer = await get()
      t.strictSame(answer.rawPayload, Buffer.from(body), `${name}: ${status}`)
      t.equal(answer.headers['content-type'], type, name)
      t.equal(answer.headers['cache-status'], status, name)
      t.equal(answer.headers['content-length'], String(Buffer.byteLength(body)), name)
    }
    t.equal(runs(), 1, name)
  }
  const notKept: Record<string, [Handler, status: number, body: string]> = {
    'a stream': [() => Readable.from(['a', 'b']), 200, 'ab'],
    nothing: [async () => undefined, 200, ''],
    'a reply that it took over': [(_request, reply) => { reply.hijack(); reply.raw.end('raw') }, 200, 'raw'],
    'another status': [(_request, reply) => reply.code(201).send({ a: 1 }), 201, '{"a":1}'],
    'a redirection': [(_request, reply) => reply.redirect('/elsewhere'), 302, ''],
    'no such thing': [(_request, reply) => { reply.callNotFound() }, 404, '{"message":"Route GET:/value not found","error":"Not Found","statusCode":404}'],
    '404, sent': [(_request, reply) => reply.code(404).send({ none: true }), 404, '{"none":true}'],
    '404, thrown': [async () => { throw new NotFoundError('None.') }, 404, '{"statusCode":404,"code":"ERR_NOT_FOUND","error":"Not Found","message":"None."}'],
    'an error, sent': [(_request, reply) => reply.send(new Error('It failed')), 500, '{"statusCode":500,"error":"Internal Server Error","message":"It failed"}'],
    'an error, thrown at once': [() => { throw new Error('It failed') }, 500, '{"statusCode":500,"error":"Internal Server Error","message":"It failed"}']
  }
  for (const [name, [handler, status, body]] of Object.entries(notKept)) {
    const { get, runs } = await serving(t, handler)
    for (const run of [1, 2]) {
      const answer = await get()
      t.strictSame([answer.statusCode, answer.body], [status, body], name)
      t.notMatch(answer.headers['cache-status'] ?? '', /hit|stored/, name)
      t.equal(runs(), run, name)
    }
  }
})

t.test('of many at once one runs the route', async (t) => {
  for (const [name, handler, code] of [
    ['an answer', async () => { await immediate(); return { a: 1 } }, 200],
    ['an error', async () => { await immediate(); throw new Error('It failed') }, 500],
    ['no such thing', async (_request, reply) => { await immediate(); return reply.code(404).send({ none: true }) }, 404]
  ] satisfies [string, Handler, number][]) {
    const { get, runs } = await serving(t, handler)
    const answers = await Promise.all(Array.from({ length: 50 }, async () => await get()))
    t.equal(runs(), 1, name)
    t.ok(answers.every(({ statusCode, body }) => statusCode === code && body === answers[0]?.body), name)
    if (code === 200) t.equal(answers.filter(({ headers }) => headers['cache-status'] === `larder; fwd=uri-miss; stored; collapsed; ${KEY}`).length, 49)
  }
})
