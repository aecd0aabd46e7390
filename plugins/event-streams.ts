import createError from '@fastify/error'
import { fastifySSE } from '@fastify/sse'
import type { FastifyInstance, FastifyReply, FastifyRequest, preHandlerHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type {} from './credentials.js'
import { sourceOf } from '../services/limits/sources.js'
import type {} from './gatekeeper.js'
import type {} from './metrics.js'
import type {} from './overload.js'
import type {} from './requests.js'

/** One message to a listener. */
export interface StreamMessage {
  /** Where to go on from, by `Last-Event-ID`. */
  id?: string
  event?: string
  data: unknown
}

/** A message as it is sent: what many listeners get is made once. */
export function messageText ({ id, event, data }: StreamMessage): string {
  return `${id === undefined ? '' : `id: ${id}\n`}${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`
}

declare module 'fastify' {
  interface FastifyReply {
    /**
     * Sends messages (server-sent events, WHATWG HTML, section 9.2) until the source ends, the listener goes, its credential expires or is
     * revoked, or the service closes. The source is asked for the next message once the listener has taken the last: a slow one delays itself alone.
     * `ended` is aborted when nobody wants more. Text is a message of `messageText`.
     * @throws 429 when the caller listens to `STREAMS_PER_CALLER` already
     */
    sendEvents (source: (ended: AbortSignal) => AsyncIterable<StreamMessage | string>): Promise<void>
  }
}

const NotAcceptableError = createError('ERR_NOT_ACCEPTABLE', 'This answers with a stream of events: ask for text/event-stream.', 406)

/** Streams that one caller may have open in a process: a credential, or an address without one. */
export const STREAMS_PER_CALLER = 100
const TooManyStreamsError = createError(
  'ERR_TOO_MANY_REQUESTS', `There are ${STREAMS_PER_CALLER} streams open for this caller already: end one of them first, or share one among those who listen.`, 429)

/** Milliseconds between signs of life: proxies end connections on which nothing happens for a minute. */
const HEARTBEAT = 15_000
/** Milliseconds after which a listener that was cut off comes back. */
const RETRY = 3000
/** The longest delay of a timer. */
const MAX_DELAY = 2 ** 31 - 1

/** Streams of events on routes that state `sse: 'only'`. Every one is ended before the service closes, which would wait for it for ever. */
export default fp(async function eventStreams (app) {
  await app.register(fastifySSE, { heartbeatInterval: HEARTBEAT })
  // The package would refuse in a form of its own.
  app.addHook('onRoute', (route) => {
    if ((route as { sse?: unknown }).sse !== undefined) route.preHandler = [acceptsEvents, ...[route.preHandler ?? []].flat()]
  })
  const open = new Map<() => void, FastifyRequest>()
  const counts = new Map<string, number>()
  let isClosing = false
  app.metrics.addCollector(() => [{ name: 'larder_streams_open', help: 'Streams of events that are open', type: 'gauge', value: open.size }])

  app.decorateReply('sendEvents', async function sendEvents (this: FastifyReply, source: (ended: AbortSignal) => AsyncIterable<StreamMessage | string>) {
    const { sse, request } = this
    const caller = callerOf(request)
    const count = counts.get(caller) ?? 0
    if (count >= STREAMS_PER_CALLER) throw Object.assign(new TooManyStreamsError(), { retryAfter: RETRY / 1000 })
    const ended = new AbortController()
    let release = (): void => {}
    const end = (): void => {
      ended.abort()
      release()
    }
    const { expiresAt } = request.principal
    const expiry = expiresAt === undefined ? undefined : setTimeout(end, Math.min(MAX_DELAY, Math.max(0, expiresAt - Date.now()))).unref()
    if (isClosing) end()
    open.set(end, request)
    counts.set(caller, count + 1)
    this.stayOpen?.()
    this.countNow()
    sse.onClose(end)
    try {
      this.header('cache-control', 'no-store')
      sse.sendHeaders()
      this.raw.write(`retry: ${RETRY}\n\n`)
      for await (const message of source(ended.signal)) {
        if (ended.signal.aborted || !sse.isConnected) break
        // A write waits for the listener to take it, which one that has gone never does.
        const text = typeof message === 'string' ? message : messageText(message)
        if (this.raw.write(text)) continue
        await new Promise<void>((resolve) => {
          release = () => {
            this.raw.off('drain', release)
            resolve()
          }
          this.raw.once('drain', release)
        })
      }
    } finally {
      clearTimeout(expiry)
      end()
      open.delete(end)
      const left = counts.get(caller)! - 1
      if (left === 0) counts.delete(caller)
      else counts.set(caller, left)
      sse.close()
    }
  })
  app.addHook('preClose', async () => {
    isClosing = true
    for (const end of open.keys()) end()
  })
  app.addHook('onReady', async () => {
    const credentials = app.credentials as FastifyInstance['credentials'] | undefined
    // Each change of credentials may be that of one that somebody listens with. While they cannot be read, nobody can say.
    credentials?.on(() => {
      for (const [end, request] of open) {
        app.gatekeeper.recheck(request).catch((error: unknown) => { if ((error as { statusCode?: number }).statusCode !== 503) end() })
      }
    })
  })
}, { name: 'event-streams', fastify: '5.x', dependencies: ['gatekeeper', 'metrics', 'requests'] })

function callerOf ({ principal, ip }: FastifyRequest): string {
  return principal.kind === 'local' || principal.kind === 'anonymous' ? `address ${sourceOf(ip)}` : `${principal.kind} ${principal.id}`
}

const acceptsEvents: preHandlerHookHandler = (request, reply, done) => {
  const { accept = '*/*' } = request.headers
  const accepts = /(?:^|[\s,])(?:\*\/\*|text\/(?:\*|event-stream))\s*(?:[;,]|$)/i.test(accept)
  // The head of a stream that has no body, and so no end to wait for.
  if (accepts && request.method === 'HEAD') reply.type('text/event-stream').header('cache-control', 'no-store').send()
  else done(accepts ? undefined : new NotAcceptableError())
}
