import t from 'tap'
import type { ReadableSpan, SpanExporter } from '@opentelemetry/sdk-trace-node'
import { sealed } from '../../services/tracing/sealed-span.js'
import { SealingExporter } from '../../services/tracing/sealing-exporter.js'

const span = (more: object = {}): ReadableSpan => ({
  name: 'GET /items/:id',
  kind: 1,
  spanContext: () => ({ traceId: 'a'.repeat(32), spanId: 'b'.repeat(16), traceFlags: 1 }),
  startTime: [1, 2],
  endTime: [1, 3],
  duration: [0, 1],
  ended: true,
  status: { code: 0 },
  attributes: {},
  links: [],
  events: [],
  resource: { attributes: {} },
  instrumentationScope: { name: 'larder' },
  droppedAttributesCount: 0,
  droppedEventsCount: 0,
  droppedLinksCount: 0,
  ...more
}) as unknown as ReadableSpan

t.test('a span that is sent says what is known to hold no data', async (t) => {
  const { attributes, status, events, links } = sealed(span({
    attributes: { 'http.route': '/items/:id', 'larder.cache.backend': 'redis', 'url.path': '/items/s3cret', 'url.query': 's3cret', 'client.address': 's3cret', 'user_agent.original': 's3cret', made: 's3cret' },
    status: { code: 2, message: 'no item s3cret' },
    events: [{ name: 'exception', time: [1, 2], attributes: { 'exception.message': 's3cret' } }],
    links: [{ context: { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16), traceFlags: 1 }, attributes: { key: 's3cret' } }]
  }))
  t.same(attributes, { 'http.route': '/items/:id', 'larder.cache.backend': 'redis' })
  t.same(status, { code: 2 })
  t.same(events, [])
  t.same(links, [{ context: { traceId: 'c'.repeat(32), spanId: 'd'.repeat(16), traceFlags: 1 } }])
})

t.test('names are few, and statements end somewhere', async (t) => {
  const names = [
    ['pg.query:INSERT\nINTO x larder_test', 'pg.query:INSERT'], ['pg.query:larder_commit db', 'pg.query:larder_commit'], ['handler - products -> cache-aside', 'handler'],
    ['GET /items/:id', 'GET /items/:id'], ['cache get_many', 'cache get_many']
  ]
  for (const [name, sent] of names) t.equal(sealed(span({ name })).name, sent)
  t.equal(String(sealed(span({ attributes: { 'db.query.text': 'x'.repeat(5000) } })).attributes['db.query.text']).length, 1000)
})

t.test('that traces get lost is said once, and when they do not any more', async (t) => {
  let answer: { code: number, error?: Error } = { code: 0 }
  const inner: SpanExporter = { export: (_spans, done) => { done(answer) }, shutdown: async () => {} }
  const exporter = new SealingExporter(inner, 'collector.example:4318')
  const lines: string[] = []
  const take = (detail: object, message: string): void => { lines.push(`${JSON.stringify(detail)} ${message}`) }
  exporter.log = { warn: take, info: take }
  const send = (): void => { exporter.export([span()], () => {}) }

  send()
  t.same(lines, [])
  answer = { code: 1, error: Object.assign(new Error('refused with s3cret'), { code: 'ECONNREFUSED' }) }
  for (let i = 0; i < 5; i++) send()
  exporter.overflowed()
  t.equal(lines.length, 1)
  t.match(lines[0], /collector\.example:4318.*ECONNREFUSED.*Traces get lost/)
  t.notMatch(lines[0], /s3cret/)
  answer = { code: 0 }
  for (let i = 0; i < 5; i++) send()
  t.equal(lines.length, 2)
  t.match(lines[1], /taken again/)
})

t.test('that there are more than can be sent is said once while it lasts', async (t) => {
  const exporter = new SealingExporter({ export: () => {}, shutdown: async () => {} }, 'collector.example:4318')
  const lines: string[] = []
  exporter.log = { warn: (_detail, message) => { lines.push(message) }, info: () => {} }
  for (let i = 0; i < 5; i++) exporter.overflowed()
  t.equal(lines.length, 1)
  t.match(lines[0], /OTEL_TRACES_SAMPLER_ARG/)
})
