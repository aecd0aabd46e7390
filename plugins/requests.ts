import type { Socket } from 'node:net'
import { randomBytes } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import fp from 'fastify-plugin'
import createError from '@fastify/error'
import type { FastifyReply, FastifyRequest, RouteOptions, onResponseHookHandler } from 'fastify'
import { HeaderLines } from '../services/header-lines.js'
import '../services/tick-shape.js' // makes every request cheaper
import type {} from './metrics.js'
import type {} from './access-log.js'
import type {} from './deadlines.js'
import type {} from './rate-limit.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Counts and logs a request that reached no route; undefined when nothing is counted or logged. */
    observeUnrouted?: (request: FastifyRequest, reply: FastifyReply) => void
    /** Connections on which a long upload is under way: they may take longer than `requestTimeout`, as long as they do not stand still. */
    uploads: WeakSet<Socket>
    /** Headers that every answer has, those to what is no request included. */
    constantHeaders: Readonly<Record<string, string>>
  }
  interface FastifyContextConfig {
    /** What requests of the route are counted under; set here. */
    series?: number
  }
  interface FastifyReply {
    /** Counts the request now: the answer begins, and goes on for as long as the listener likes. Its end may never be heard of. */
    countNow: () => void
    isCounted: boolean
  }
}

export interface RequestsOptions {
  /** Headers that every answer has. Default: none. */
  constantHeaders?: Readonly<Record<string, string>>
}

const RepeatedHeaderError = createError<[name: string]>(
  'ERR_MALFORMED_REQUEST', 'The header %s came more than once: send it once.', 400)
const MissingHostError = createError('ERR_MALFORMED_REQUEST', 'A request of HTTP/1.1 names its host: send one Host header.', 400)
const MalformedQueryError = createError(
  'ERR_MALFORMED_REQUEST', 'The query holds a percent sign that begins no valid escape of UTF-8: write %25 for the sign itself.', 400)

const SANE_ID = /^[A-Za-z0-9_-]{1,64}$/

// Ids of different processes differ by a random beginning, those of one process by a count: no random bytes per request.
const idPrefix = randomBytes(6).toString('base64url') + '-'
let idCount = 0

/** Fastify's `genReqId` option: the caller's own `x-request-id` when it is a sane token, else a new one. */
export function requestId (request?: Pick<IncomingMessage, 'headers'>): string {
  const given = request?.headers['x-request-id']
  if (typeof given === 'string' && SANE_ID.test(given)) return given
  return idPrefix + (++idCount).toString(36)
}

/**
 * What holds for every request: it is answered with its id, has one Host and one Authorization, and a query that can be
 * decoded and that the route knows; afterwards it is counted and logged. One synchronous hook before and, where metrics
 * or the access log ask for it, one after.
 */
export default fp<RequestsOptions>(async function requests (app, { constantHeaders = {} }) {
  // A logger for each request costs more than a read of the cache, and most requests log nothing. Who does names the request's id.
  app.setChildLoggerFactory((logger) => logger)

  app.decorate('constantHeaders', constantHeaders)
  const lines = new HeaderLines(constantHeaders)

  app.addHook('onRequest', (request, reply, done) => {
    if (!lines.frame(reply.raw, request.id)) reply.header('x-request-id', request.id).headers(constantHeaders)
    const raw = request.raw
    const fault = faultInHeaders(raw) ?? (raw.url!.includes('?') ? faultInQuery(request) : undefined) ??
      (raw.headers['request-timeout'] === undefined ? undefined : app.beginDeadline?.(request, reply))
    if (fault === undefined) return done()
    if (app.limitFault === undefined) return done(fault)
    app.limitFault(request, reply, fault, done)
  })

  const { metrics, accessLog } = app
  app.decorateReply('isCounted', false)
  app.decorateReply('countNow', function countNow (this: FastifyReply) {
    const { series } = this.request.routeOptions.config
    if (series === undefined || this.isCounted) return
    this.isCounted = true
    metrics.observeRequest(series, this.statusCode, this.elapsedTime)
  })
  const observed = metrics.enabled || accessLog !== undefined
  app.decorate('uploads', new WeakSet<Socket>())
  if (observed) app.decorate('observeUnrouted', observeUnrouted)

  app.addHook('onRoute', (route) => {
    closeQuery(route)
    if (!observed) return
    const index = metrics.addRoute(route.method, route.url)
    route.config = { ...route.config, series: index }
    const observeRoute: onResponseHookHandler = (request, reply, done) => {
      observe(index, request, reply, reply.elapsedTime)
      done()
    }
    route.onResponse = [route.onResponse ?? []].flat().concat(observeRoute)
  })

  function observeUnrouted (request: FastifyRequest, reply: FastifyReply): void {
    const begun = performance.now()
    reply.raw.once('finish', () => observe(metrics.unrouted, request, reply, performance.now() - begun))
  }

  function observe (route: number, request: FastifyRequest, reply: FastifyReply, elapsed: number): void {
    if (!reply.isCounted) metrics.observeRequest(route, reply.statusCode, elapsed)
    accessLog?.write(request, reply, elapsed)
  }
}, { name: 'requests', fastify: '5.x', dependencies: ['metrics', 'access-log'] })

/** Node keeps the first Host and Authorization and drops the others: whoever stood in front may have read the last. */
function faultInHeaders ({ rawHeaders, headers, httpVersion }: IncomingMessage): Error | undefined {
  let hosts = 0
  let credentials = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    if (name.length === 4) {
      if (name.toLowerCase() === 'host' && ++hosts > 1) return new RepeatedHeaderError('Host')
    } else if (name.length === 13) {
      if (name.toLowerCase() === 'authorization' && ++credentials > 1) return new RepeatedHeaderError('Authorization')
    }
  }
  return headers.host === undefined && httpVersion === '1.1' ? new MissingHostError() : undefined
}

/** A route without a query schema takes no query; the others are held to their schema by its validator. */
function faultInQuery (request: FastifyRequest): Error | undefined {
  const url = request.raw.url!
  if (url.includes('%')) {
    try {
      decodeURIComponent(url.slice(url.indexOf('?') + 1))
    } catch {
      return new MalformedQueryError()
    }
  }
  if (request.is404 || request.routeOptions.schema?.querystring !== undefined) return undefined
  const unknown = Object.keys(request.query as object)
  if (unknown.length === 0) return undefined
  return Object.assign(new Error('Unknown query parameter'), {
    statusCode: 400,
    validationContext: 'querystring',
    validation: unknown.map((name) => ({
      keyword: 'additionalProperties', instancePath: '', schemaPath: '', params: { additionalProperty: name }, message: ''
    }))
  })
}

/** Parameters that a query schema does not name are refused, unless it says otherwise. */
function closeQuery (route: RouteOptions): void {
  const query = route.schema?.querystring as { type?: string, additionalProperties?: unknown } | undefined
  if (query?.type !== 'object' || query.additionalProperties !== undefined) return
  route.schema = { ...route.schema, querystring: { ...query, additionalProperties: false } }
}
