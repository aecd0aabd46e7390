import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { Agent, request } from 'node:https'
import { text } from 'node:stream/consumers'
import { join } from 'node:path'
import type { IncomingMessage } from 'node:http'
import t from 'tap'
import { eventually } from './support/caches.js'
import { CLIENT, CONSUMER, OtlpReceiver, type ReceivedSpan, SERVER } from './support/otlp-receiver.js'
import { databaseUrl, redisUrl } from './support/servers.js'
import { type Service, startService } from './support/service.js'
import { temporaryFolder } from './support/temporary-folder.js'

const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'
const COLLECTOR_SECRET = 'what-the-collector-asks-for'
const CALLER = 'b7ad6b7169203331'

t.setTimeout(400_000)

/** A trace of a caller's, and the header that tells of it. */
function callersTrace (flags = '01'): { id: string, traceparent: string } {
  const id = randomBytes(16).toString('hex')
  return { id, traceparent: `00-${id}-${CALLER}-${flags}` }
}

/** The names of what a span is in, from the inside out, without its own. */
function around (span: ReceivedSpan, trace: readonly ReceivedSpan[]): string[] {
  const parent = trace.find(({ spanId }) => spanId === span.parentSpanId)
  return parent === undefined ? [] : [parent.name, ...around(parent, trace)]
}

function named (trace: readonly ReceivedSpan[], name: string): ReceivedSpan {
  const span = trace.find((each) => each.name === name)
  if (span === undefined) throw new Error(`No span ${name} among ${trace.map((each) => each.name).join(', ')}`)
  return span
}

t.test('one process over PostgreSQL and Redis', async (t) => {
  const receiver = await OtlpReceiver.start(t)
  const service = await startService(t, {
    DATABASE_URL: await databaseUrl(t),
    REDIS_URL: await redisUrl(t),
    DATA_DIR: temporaryFolder(t),
    SAMPLE_DATA: 'true',
    CACHE_DEADLINE: '1000',
    CACHE_AUTH_ENABLED: 'true',
    CACHE_API_KEY: ADMINISTRATOR,
    CACHE_ACCESS_LOG_ENABLED: 'true',
    LOG_LEVEL: 'trace',
    SHUTDOWN_DELAY: '0',
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    OTEL_EXPORTER_OTLP_HEADERS: `authorization=Bearer%20${COLLECTOR_SECRET}`,
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test'
  })
  const ask = async (path: string, { method = 'GET', body, ...headers }: { method?: string, body?: unknown } & Record<string, unknown> = {}) => {
    const response = await fetch(`${service.url}${path}`, {
      method,
      headers: { 'x-api-key': ADMINISTRATOR, ...body !== undefined && { 'content-type': 'application/json' }, ...headers as Record<string, string> },
      ...body !== undefined && { body: JSON.stringify(body) }
    })
    return { status: response.status, id: response.headers.get('x-request-id') ?? '', body: await response.text() }
  }
  const traced = async (path: string, options: Parameters<typeof ask>[1] = {}) => {
    const { id, traceparent } = callersTrace()
    const answer = await ask(path, { traceparent, ...options })
    return { ...answer, traceId: id, spans: await receiver.trace(id) }
  }
  /** Spans come in the order in which they end: those before this one are there when it is. */
  const settled = async (): Promise<void> => { await traced('/items') }

  await t.test('a request is a span of the caller’s trace, around its handler, around what that asks', async (t) => {
    const { spans, status } = await traced('/products')
    t.equal(status, 200)
    const server = named(spans, 'GET /products')
    t.match(server, { kind: SERVER, parentSpanId: CALLER, attributes: { 'http.request.method': 'GET', 'http.route': '/products', 'http.response.status_code': 200 } })
    const statement = spans.find(({ attributes }) => String(attributes['db.query.text']).includes('FROM products'))
    t.match(statement, { kind: CLIENT, name: 'pg.query:SELECT', attributes: { 'db.system.name': 'postgresql' } })
    t.same(around(statement!, spans), ['handler', 'request', 'GET /products'])
    t.match(named(spans, 'cache get').attributes, { 'larder.cache.backend': 'redis', 'larder.cache.operation': 'get', 'larder.outcome': 'miss' })
    t.same(around(named(spans, 'get'), spans), ['cache get', 'handler', 'request', 'GET /products'])
    t.match(named(spans, 'cache fill').attributes, { 'larder.outcome': 'stored' })
    t.match(server.resource, { 'service.name': 'larder', 'deployment.environment.name': 'test', 'process.pid': service.pid })
  })

  await t.test('a hit in memory asks nobody', async (t) => {
    const { spans } = await traced('/products')
    t.notOk(spans.some(({ name }) => name.startsWith('cache ') || name.startsWith('pg.query')))
    t.same(around(named(spans, 'handler'), spans), ['request', 'GET /products'])
  })

  await t.test('commands that go out together belong to who gave them', async (t) => {
    const traces = Array.from({ length: 30 }, () => callersTrace())
    await Promise.all(traces.map(async ({ traceparent }, n) => await ask(`/api/cache/get/absent-${n}?backend=redis`, { traceparent })))
    for (const { id } of traces) {
      const spans = await receiver.trace(id)
      t.same(spans.filter(({ name }) => name === 'get').map((span) => around(span, spans)), [['cache get', 'handler', 'request', 'GET /api/cache/get/:key']])
    }
  })

  await t.test('every backend outside of memory is told apart, with what came of it', async (t) => {
    const outcomes = await Promise.all(['redis', 'database', 'file'].map(async (backend) => {
      const traces = [callersTrace(), callersTrace(), callersTrace()] as const
      await ask('/api/cache/set', { ...traces[0], method: 'POST', body: { key: 'k', value: 1, backend } })
      await ask(`/api/cache/delete/k?backend=${backend}`, { ...traces[1], method: 'DELETE' })
      await ask(`/api/cache/get/k?backend=${backend}`, traces[2])
      return await Promise.all(traces.map(async ({ id }) => (await receiver.trace(id))
        .filter(({ attributes }) => attributes['larder.cache.backend'] === backend).map(({ name, attributes }) => `${name}: ${attributes['larder.outcome']}`)))
    }))
    for (const told of outcomes) t.same(told, [['cache set: stored'], ['cache delete: deleted'], ['cache get: miss']])
  })

  await t.test('what is done about an event is in the trace of the request, linked to it', async (t) => {
    const { traceId } = await traced('/products/1', { method: 'PUT', body: { price: 4.5 } })
    const spans = await receiver.trace(traceId, ({ name }) => name === 'process audit')
    const consumer = named(spans, 'process audit')
    t.match(consumer, { kind: CONSUMER, attributes: { 'larder.event.type': 'product.updated', 'larder.outcome': 'done', 'messaging.consumer.group.name': 'audit' } })
    t.same(around(consumer, spans), ['handler', 'request', 'PUT /products/:id'])
    t.match(consumer.links, [{ traceId, spanId: consumer.parentSpanId }])
    t.ok(spans.some((span) => span.kind === CLIENT && around(span, spans)[0] === 'process audit'))
    const { body } = await ask('/audit?limit=1000')
    t.match(body, 'product.updated')
  })

  await t.test('log lines have the trace, and a problem’s id finds its span', async (t) => {
    const { spans, traceId, id, status } = await traced('/items/not-there?nocache=maybe')
    t.equal(status, 400)
    t.equal(named(spans, 'request').attributes['larder.request_id'], id)
    const lines = (): Record<string, unknown>[] => service.log().split('\n').filter((line) => line.includes(traceId)).map((line) => JSON.parse(line) as Record<string, unknown>)
    await eventually(() => lines().some(({ msg }) => msg === 'request'), 'the access log')
    const written = lines()
    t.match(written.find(({ msg }) => msg === 'request'), { request_id: id, trace_id: traceId, span_id: named(spans, 'GET /items/:id').spanId })
    t.match(written.find(({ msg }) => msg !== 'request'), { trace_id: traceId })
  })

  await t.test('probes, metrics and files are not traced, nor what nobody asked for', async (t) => {
    const traces = await Promise.all(['/health', '/health/ready', '/metrics', '/assets/none.js'].map(async (path) => {
      const { id, traceparent } = callersTrace()
      await ask(path, { traceparent })
      return id
    }))
    await settled()
    t.same(receiver.spans.filter(({ traceId }) => traces.includes(traceId)), [])
    t.same(receiver.spans.filter(({ kind, parentSpanId = '' }) => kind === CLIENT && parentSpanId === ''), [])
  })

  await t.test('the caller decides what is not kept', async (t) => {
    const { id, traceparent } = callersTrace('00')
    t.equal((await ask('/products', { traceparent })).status, 200)
    await settled()
    t.same(receiver.spans.filter(({ traceId }) => traceId === id), [])
    await eventually(() => service.log().includes(id), 'its log lines have the trace nevertheless')
  })

  await t.test('no key, value or credential leaves', async (t) => {
    const made = async <T>(path: string, body: object): Promise<T> => JSON.parse((await ask(path, { method: 'POST', body })).body) as T
    const { key } = await made<{ key: string }>('/keys', { scopes: ['cache:read', 'cache:write'] })
    const { token } = await made<{ token: string }>('/valet/token', { scopes: ['cache:read'] })
    const [entry, value, tag, idempotency, query, name] = ['key', 'value', 'tag', 'idempotency', 'query', 'name'].map((what) => `s3cret-${what}-${randomBytes(6).toString('hex')}`) as [string, string, string, string, string, string]
    for (const backend of ['memory', 'redis', 'database', 'file']) {
      await ask('/api/cache/set', { method: 'POST', body: { key: entry, value, backend, metadata: { tags: [tag] } }, 'idempotency-key': idempotency + backend })
      await ask(`/api/cache/get/${entry}?backend=${backend}`, { 'x-api-key': key })
      await ask(`/api/cache/get-batch?backend=${backend}`, { method: 'POST', body: [entry, `${entry}2`] })
      await ask(`/api/cache/keys?pattern=${entry}*&backend=${backend}`)
      await ask('/api/cache/invalidate', { method: 'POST', body: { tags: [tag], pattern: `${entry}*`, backend } })
      await ask('/api/cache/increment', { method: 'POST', body: { key: `${entry}n`, backend } })
      await ask(`/api/cache/delete/${entry}?backend=${backend}`, { method: 'DELETE' })
    }
    await ask(`/api/cache/get/${entry}?token=${query}`, { 'x-api-key': '', authorization: `Bearer ${token}` })
    await ask(`/api/cache/get/${entry}`, { 'x-api-key': query })
    await ask(`/${query}/${entry}?api_key=${query}`, { cookie: query, 'user-agent': query, tracestate: '', baggage: `who=${query}` })
    await ask('/products', { method: 'POST', body: { name, price: 1, category: name } })
    await ask('/products', { method: 'POST', body: { name, price: name, category: name } })
    await ask(`/items/${query}`, { method: 'PUT', body: { name } })
    await ask('/events', { method: 'POST', body: { channel: 'kitchen', event: { type: 'opened', name } } })
    await ask(`/keys/${query}`, { method: 'DELETE' })
    await ask(`/config/${query}`)
    await settled()
    const before = receiver.spans.length
    t.ok(before > 200, `${before} spans`)
    for (const secret of [ADMINISTRATOR, COLLECTOR_SECRET, key, token, token.split('.')[2]!, entry, value, tag, idempotency, query, name]) t.notOk(receiver.text.includes(secret), secret)
    for (const { path, headers } of receiver.requests) t.match({ path, headers }, { path: '/v1/traces', headers: { 'content-type': 'application/json', authorization: `Bearer ${COLLECTOR_SECRET}` } })
    t.notOk(service.log().includes(COLLECTOR_SECRET))
    t.notOk((await ask('/config')).body.includes(COLLECTOR_SECRET))
  })

  await t.test('what waits is sent at the end', async (t) => {
    const { id, traceparent } = callersTrace()
    t.equal((await ask('/products', { traceparent })).status, 200)
    service.kill('SIGTERM')
    t.same(await service.ended, { code: 0, signal: null })
    t.ok(receiver.spans.some(({ traceId, kind }) => traceId === id && kind === SERVER))
  })
})

t.test('a collector that is down, refuses or hangs', async (t) => {
  const receiver = await OtlpReceiver.start(t)
  const env = { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), SHUTDOWN_DELAY: '0', OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url }
  const service = await startService(t, env)
  const lines = (message: RegExp): number => service.log().split('\n').filter((line) => message.test(line)).length
  const work = async (): Promise<void> => {
    for (let i = 0; i < 30; i++) {
      const response = await fetch(`${service.url}/user/Alice`)
      if (response.status !== 200) throw new Error(`answered ${response.status}`)
      await response.text()
    }
  }
  const requests = receiver.requests.length
  receiver.mood = 'refuses'
  for (let round = 1; round <= 3; round++) {
    await work()
    await eventually(() => receiver.requests.length >= requests + round, 'they are sent', 10_000)
  }
  await eventually(() => lines(/Traces get lost/) === 1, 'it is said')

  receiver.mood = 'takes'
  await work()
  await eventually(() => lines(/Traces are taken again/) === 1, 'it is said that they are taken again', 10_000)
  t.equal(lines(/Traces get lost/), 1, 'once each')

  receiver.mood = 'hangs'
  const held = receiver.requests.length
  await work()
  await eventually(() => receiver.requests.length > held, 'one hangs', 10_000)
  await work()
  const told = Date.now()
  service.kill('SIGTERM')
  t.same(await service.ended, { code: 0, signal: null })
  t.ok(Date.now() - told < 8000, 'the end does not wait for it')

  await t.test('nor is one that was never there', async (t) => {
    receiver.stop()
    const alone = await startService(t, env)
    t.equal((await fetch(`${alone.url}/user/Alice`)).status, 200)
    await eventually(() => alone.log().includes('Traces get lost'), 'it is said', 15_000)
    alone.kill('SIGTERM')
    t.same(await alone.ended, { code: 0, signal: null })
  })
})

t.test('several processes on one port, with TLS, and a worker of its own', async (t) => {
  const receiver = await OtlpReceiver.start(t)
  const folder = temporaryFolder(t)
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
    '-subj', '/CN=localhost', '-keyout', keyFile, '-out', certFile], { stdio: 'ignore' })
  const env = {
    DATABASE_URL: await databaseUrl(t),
    REDIS_URL: await redisUrl(t),
    DATA_DIR: folder,
    SAMPLE_DATA: 'true',
    CACHE_DEADLINE: '1000',
    SHUTDOWN_DELAY: '0',
    OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
    // Nothing but what callers want to have kept.
    OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
    OTEL_TRACES_SAMPLER_ARG: '0'
  }
  const service: Service = await startService(t, { ...env, WORKERS: '2', WORKER: 'false', TLS_CERT_FILE: certFile, TLS_KEY_FILE: keyFile })
  await eventually(() => service.log().includes('2 processes serve'), 'all processes', 60_000)
  const worker = spawn(process.execPath, ['dist/worker.js'], { env: { PATH: process.env['PATH'], ...env }, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => { worker.kill('SIGKILL') })
  const ended = once(worker, 'close')
  let workersLog = ''
  worker.stdout.setEncoding('utf8').on('data', (chunk: string) => { workersLog += chunk })
  await eventually(() => workersLog.includes('is at work'), 'the worker', 30_000)

  const ids = new Set<string>()
  const ask = async (path: string, { method = 'GET', body, flags = '01' }: { method?: string, body?: object, flags?: string } = {}): Promise<string> => {
    const { id, traceparent } = callersTrace(flags)
    if (flags === '01') ids.add(id)
    const asked = request(`${service.url}${path}`, {
      method, agent: new Agent({ keepAlive: false, rejectUnauthorized: false }), headers: { ...flags !== '' && { traceparent }, ...body && { 'content-type': 'application/json' } }
    })
    asked.end(body && JSON.stringify(body))
    const [response] = await once(asked, 'response') as [IncomingMessage]
    await text(response)
    t.equal(response.statusCode, 200)
    return id
  }
  const pids = new Set<unknown>()
  // Of those that ask at once in one process, one asks the database.
  let statements = 0
  await eventually(async () => {
    for (const id of await Promise.all(Array.from({ length: 10 }, async () => await ask('/products?nocache=true')))) {
      const spans = await receiver.trace(id)
      for (const statement of spans.filter(({ attributes }) => String(attributes['db.query.text']).includes('FROM products'))) {
        t.same(around(statement, spans), ['handler', 'request', 'GET /products'])
        statements++
      }
      t.same(around(named(spans, 'handler'), spans), ['request', 'GET /products'])
      t.match(named(spans, 'GET /products').attributes, { 'url.scheme': 'https' })
      pids.add(spans[0]!.resource['process.pid'])
    }
    return pids.size === 2
  }, 'both processes send', 60_000)
  t.ok(statements > 0)
  t.notOk(pids.has(service.pid), 'and who leads them serves nobody')

  const id = await ask('/products/1', { method: 'PUT', body: { price: 7 } })
  const spans = await receiver.trace(id, ({ name }) => name === 'process audit')
  const consumer = named(spans, 'process audit')
  t.equal(consumer.resource['process.pid'], worker.pid)
  t.same(around(consumer, spans), ['handler', 'request', 'PUT /products/:id'])

  for (const flags of ['', '00']) await ask('/products/1', { method: 'PUT', body: { price: 8 }, flags })
  worker.kill('SIGTERM')
  service.kill('SIGTERM')
  t.same(await ended, [0, null])
  t.same(await service.ended, { code: 0, signal: null })
  t.same(receiver.spans.filter(({ traceId }) => !ids.has(traceId)), [], 'what no caller wants to have kept is not')
})
