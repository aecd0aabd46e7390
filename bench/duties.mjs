import { openSync } from 'node:fs'
import { createServer } from 'node:http'
import { once } from 'node:events'
import { join } from 'node:path'
import { startServer } from './processes.mjs'
import { inTurns, printLoads } from './statistics.mjs'

const ADMINISTRATOR = 'benches-only-1f7c2a9d40e6'
const KEYS = Array.from({ length: 1000 }, (_, i) => `user:${1000 + i}`)
const VALUE = { name: 'John Doe', email: 'john@example.com', roles: ['reader', 'writer'], active: true }
const URL_OF = '/api/cache/get/:key'
/** Seconds of load before anything counts. */
const WARM_UP = 2
const UNLIMITED = { RATE_LIMITS: '1000000/second', FAILED_LOGIN_LIMITS: '1000000/second' }

/** One by one, on a bare route; what one stands on is measured without it, too. */
const DUTIES = {
  'bare route, ready text': [],
  '+ frame (request id, one Host, the query)': ['frame'],
  '+ frame, security headers': ['frame', 'headers'],
  '+ frame, metrics': ['frame', 'metrics'],
  '+ frame, access log': ['frame', 'log'],
  '+ gatekeeper, no credential': ['gatekeeper'],
  '+ gatekeeper, the administrator’s key': ['gatekeeper', 'key'],
  '+ gatekeeper, rate limit in the process': ['gatekeeper', 'limits'],
  '+ all of them, the administrator’s key': ['frame', 'headers', 'metrics', 'log', 'gatekeeper', 'key', 'limits']
}

/** The complete service, with what its callers present. */
const SERVICES = {
  'Larder, no authentication, no log, no metrics': { CACHE_ACCESS_LOG_ENABLED: 'false', CACHE_METRICS_ENABLED: 'false' },
  'Larder, all duties, the administrator’s key': { key: () => ({ 'x-api-key': ADMINISTRATOR }) },
  'Larder, all duties, an API key': { key: apiKey },
  'Larder, all duties, a valet key': { key: valetKey },
  'Larder, all duties, the administrator’s key, one trace in a hundred': { key: () => ({ 'x-api-key': ADMINISTRATOR }), OTEL_TRACES_SAMPLER: 'parentbased_traceidratio', OTEL_TRACES_SAMPLER_ARG: '0.01' },
  'Larder, all duties, the administrator’s key, every trace': { key: () => ({ 'x-api-key': ADMINISTRATOR }), OTEL_TRACES_SAMPLER: 'always_on' }
}

/** What each duty costs on the read that has to be fast, against a bare Fastify route that answers the same bytes from an object. */
export async function benchDuties ({ folder, load, rounds, seconds }) {
  const subjects = []
  const collector = createServer((request, response) => request.resume().on('end', () => response.end('{}'))).listen(0, '127.0.0.1')
  await once(collector, 'listening')
  let text
  for (const [label, { key, ...settings }] of Object.entries(SERVICES)) {
    const environment = {
      DATA_DIR: join(folder, `duties-${subjects.length}`),
      ...UNLIMITED,
      ...key && { CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR },
      ...settings,
      ...settings.OTEL_TRACES_SAMPLER && { OTEL_EXPORTER_OTLP_ENDPOINT: `http://127.0.0.1:${collector.address().port}` }
    }
    const server = await startServer('larder.mjs', environment, openSync(join(folder, `duties-${subjects.length}.log`), 'a'))
    const administrator = key === undefined ? {} : { 'x-api-key': ADMINISTRATOR }
    await ask(server.url, '/api/cache/set-batch', administrator, KEYS.map((key) => ({ key, value: VALUE, ttl: 3600 })))
    text = await ask(server.url, `/api/cache/get/${KEYS[0]}`, administrator)
    subjects.push({ label, server, headers: await key?.(server.url) ?? {}, rates: [], costs: [] })
  }
  const reference = { label: 'bare Fastify, object through a schema', server: await startServer('bare.mjs', { kind: 'object', method: 'GET', url: URL_OF, text }), headers: {}, rates: [], costs: [] }
  subjects.unshift(reference)
  for (const [label, duties] of Object.entries(DUTIES)) {
    const server = await startServer('duties.mjs', { duties, url: URL_OF, text, administratorKey: ADMINISTRATOR })
    subjects.push({ label, server, headers: duties.includes('key') ? { 'x-api-key': ADMINISTRATOR } : {}, rates: [], costs: [] })
  }
  for (const subject of subjects) subject.requests = KEYS.map((key) => ({ method: 'GET', path: `/api/cache/get/${key}`, headers: subject.headers }))

  for (const { server, requests } of subjects) await load.run(server.url, requests, WARM_UP)
  await inTurns(subjects, rounds, async ({ server, requests, rates, costs }) => {
    const before = await server.cpu()
    const { requests: answered, seconds: taken } = await load.run(server.url, requests, seconds)
    costs.push((await server.cpu() - before) / answered)
    rates.push(answered / taken)
  })
  for (const { server } of subjects) await server.stop()
  collector.close()
  collector.closeAllConnections()

  printLoads(`The price of each duty on a hit in memory · ${text.length} bytes · ${load.name}, ${rounds} × ${seconds} s`, subjects, reference)
}

async function apiKey (url) {
  const { key } = JSON.parse(await ask(url, '/keys', { 'x-api-key': ADMINISTRATOR }, { scopes: ['cache:read'], rate_limit: '1000000/second' }))
  return { 'x-api-key': key }
}

async function valetKey (url) {
  const { token } = JSON.parse(await ask(url, '/valet/token', { 'x-api-key': ADMINISTRATOR }, { scopes: ['cache:read'], ttl: 3600 }))
  return { authorization: `Bearer ${token}` }
}

async function ask (url, path, headers, body) {
  const sent = body === undefined ? { headers } : { method: 'POST', headers: { ...headers, 'content-type': 'application/json' }, body: JSON.stringify(body) }
  const response = await fetch(url + path, sent)
  const text = await response.text()
  if (!response.ok) throw new Error(`${path} answered ${response.status}: ${text}`)
  return text
}
