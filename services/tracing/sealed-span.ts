import type { ReadableSpan } from '@opentelemetry/sdk-trace-node'

/** What may leave the process. Everything else may hold a key, a token or somebody's address, such as `url.path` and `client.address`. */
const ATTRIBUTES = new Set([
  'http.request.method', 'http.response.status_code', 'http.route', 'url.scheme', 'network.protocol.version', 'server.address', 'server.port', 'error.type',
  'db.system.name', 'db.namespace', 'db.operation.name', 'db.query.text', 'db.response.status_code', 'fastify.type',
  'messaging.system', 'messaging.operation.name', 'messaging.consumer.group.name', 'messaging.message.id'
])
const isOurs = (name: string): boolean => name.startsWith('larder.')

/** Characters of a statement that are sent. */
const LONGEST_STATEMENT = 1000

/** Of a statement its first word, without the database; of a handler not all the plugins around it. */
const LONG_NAME = /^(pg\.query:\S*|handler|notFoundHandler)\s[^]*$/

/**
 * A span fit to be sent: of its attributes those that are known to hold no data, no events (they hold errors with their words), and of its status the
 * code alone. Statements have their values apart.
 */
export function sealed (span: ReadableSpan): ReadableSpan {
  return {
    name: span.name.replace(LONG_NAME, '$1'),
    kind: span.kind,
    spanContext: () => span.spanContext(),
    ...(span.parentSpanContext && { parentSpanContext: span.parentSpanContext }),
    startTime: span.startTime,
    endTime: span.endTime,
    duration: span.duration,
    ended: span.ended,
    status: { code: span.status.code },
    attributes: Object.fromEntries(Object.entries(span.attributes)
      .filter(([name]) => ATTRIBUTES.has(name) || isOurs(name))
      .map(([name, value]) => [name, name === 'db.query.text' ? String(value).slice(0, LONGEST_STATEMENT) : value])),
    links: span.links.map(({ context }) => ({ context })),
    events: [],
    resource: span.resource,
    instrumentationScope: span.instrumentationScope,
    droppedAttributesCount: 0,
    droppedEventsCount: 0,
    droppedLinksCount: 0
  }
}
