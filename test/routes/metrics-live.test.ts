import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import t, { type Test } from 'tap'
import { Ajv } from 'ajv'
import Fastify, { type FastifyInstance } from 'fastify'
import { createParser } from 'eventsource-parser'
import live from '../../routes/live.js'
import type { LiveSample } from '../../schemas/live.js'
import { eventually } from '../support/caches.js'
import { temporaryFolder } from '../support/temporary-folder.js'
import { ADMINISTRATOR_KEY, bodyOf, openApp, sender } from './sample-app.js'

const administrator = { 'x-api-key': ADMINISTRATOR_KEY }

interface Heard { id: string | undefined, sample: LiveSample }

async function listen (t: Test, app: FastifyInstance, headers: Record<string, string> = {}) {
  // `fetch` would open another connection in the place of one that is given up, for which the service would wait at its end.
  const asked = request(`${app.listeningOrigin}/metrics/live`, { agent: false, headers: { ...administrator, ...headers } }).end()
  const [response] = await once(asked, 'response') as [IncomingMessage]
  const heard: Heard[] = []
  const parser = createParser({ onEvent: ({ id, event, data }) => { if (event === 'sample') heard.push({ id, sample: JSON.parse(data) as LiveSample }) } })
  const reading = (async () => {
    for await (const chunk of response.setEncoding('utf8')) parser.feed(chunk as string)
  })().catch((error: unknown) => { if (!asked.destroyed) throw error as Error })
  const stop = async (): Promise<void> => {
    asked.destroy()
    await reading
  }
  t.teardown(stop)
  return { heard, response, reading, stop }
}

t.test('a stream of samples', async (t) => {
  const app = await openApp(t, { DATA_DIR: temporaryFolder(t), CACHE_AUTH_ENABLED: 'true', CACHE_MAX_ITEMS: '20' })
  const send = sender(app)
  await app.listen({ port: 0, host: '127.0.0.1' })

  await t.test('it is for those who may read metrics', async (t) => {
    t.equal((await send('GET /metrics/live')).statusCode, 401)
    const { key } = bodyOf<{ key: string }>(await send('POST /keys', { scopes: ['cache:*'] }, administrator))
    t.equal((await send('GET /metrics/live', undefined, { 'x-api-key': key })).statusCode, 403)
    t.equal((await send('GET /metrics/live', undefined, { ...administrator, accept: 'application/json' })).statusCode, 406)
    t.equal((await send('GET /metrics/live', undefined, { ...administrator, 'last-event-id': 'x' })).statusCode, 400)
  })

  await t.test('it tells what happened in each interval, and how it is now', async (t) => {
    const { heard, response } = await listen(t, app)
    t.equal(response.headers['content-type'], 'text/event-stream')
    await eventually(() => heard.length >= 1, 'a first sample')
    const from = heard.length
    for (let i = 0; i < 30; i++) await send('POST /api/cache/set', { key: `key:${i}`, value: i }, administrator)
    for (let i = 29; i > 24; i--) await send(`GET /api/cache/get/key:${i}`, undefined, administrator)
    for (let i = 0; i < 5; i++) await send(`GET /api/cache/get/key:${i}`, undefined, administrator)
    await send('GET /products/1', undefined, administrator)
    t.equal((await send('GET /items/none', undefined, administrator)).statusCode, 404)
    const sum = (of: (sample: LiveSample) => number): number => Math.round(heard.slice(from).reduce((sum, { sample }) => sum + of(sample) * sample.seconds, 0))
    const memory = ({ backends }: LiveSample) => backends.find(({ name }) => name === 'memory')!
    // Rates are rounded to four digits; the traffic is no longer than a few intervals.
    await eventually(() => sum(({ requests }) => requests.per_second) >= 42, 'the requests', 15_000)
    t.equal(sum((sample) => memory(sample).hits_per_second), 5)
    t.equal(sum((sample) => memory(sample).misses_per_second), 5)
    t.equal(sum((sample) => memory(sample).evictions_per_second), 10)
    t.ok(sum(({ cache }) => cache.misses_per_second) >= 6, 'the cache of the application counts as well')
    t.equal(sum(({ requests }) => requests.by_status['4xx'] ?? 0), 1)
    t.ok(heard.slice(from).some(({ sample }) => sample.requests.latency !== null && memory(sample).latency !== null))
    const { sample } = heard.at(-1)!
    t.match(memory(sample), { entries: 20, max_items: 20, max_memory: 104857600, breaker: null })
    t.equal(sample.backends[0]?.name, 'memory', 'the default one first')
    t.equal(sample.backends.at(-1)?.name, 'app')
    t.match(sample, { parts: { postgres: { status: 'up', required: true }, redis: { status: 'disabled' } }, breakers: { postgres: 'closed' }, streams: 1, process: { processes: 1 } })
    t.ok(sample.process.resident_bytes > 1e7)
    await eventually(() => heard.at(-1)!.sample.backends.find(({ name }) => name === 'file')?.entries === 0, 'what is in a backend that has to be asked')

    const again = await listen(t, app, { 'last-event-id': heard[0]!.id! })
    await eventually(() => again.heard.length >= 2, 'those that are remembered')
    t.strictSame(again.heard.slice(0, 2), heard.slice(1, 3), 'it goes on after a sample, with the same ones')
    await again.stop()
  })

  await t.test('a sample is what its document says', async (t) => {
    const { heard, stop } = await listen(t, app)
    await eventually(() => heard.length >= 1, 'a sample')
    const document = bodyOf<{ components: { schemas: Record<string, object> }, paths: Record<string, Record<string, { responses: Record<string, unknown> }>> }>(await send('GET /openapi.json', undefined, administrator))
    t.match(document.paths['/metrics/live']?.['get'], {
      operationId: 'watchMetrics', responses: { 200: { content: { 'text/event-stream': { schema: { $ref: '#/components/schemas/LiveSample' } } } } }
    })
    const ajv = new Ajv({ strict: false, validateFormats: false })
    const isValid = ajv.compile({ $ref: '#/components/schemas/LiveSample', components: document.components })
    for (const { sample } of heard) t.ok(isValid(sample), JSON.stringify(isValid.errors))
    await stop()
  })

  await t.test('it ends with the service', async (t) => {
    const { heard, reading } = await listen(t, app)
    await eventually(() => heard.length >= 1, 'a sample')
    await app.close()
    await reading
  })
})

t.test('without metrics there is no stream', async (t) => {
  const app = Fastify()
  app.decorate('live', undefined)
  await app.register(live, { prefix: '/metrics/live' })
  t.equal((await app.inject('/metrics/live')).statusCode, 404)
})
