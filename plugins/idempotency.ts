import type { FastifyReply, FastifyRequest, onSendHookHandler, preHandlerHookHandler, RouteHandlerMethod, RouteOptions } from 'fastify'
import fp from 'fastify-plugin'
import { secretOf } from '../services/access/secret-file.js'
import { Sealer } from '../services/access/valet/sealer.js'
import { UnsupportedHereError } from '../services/errors.js'
import { Claim } from '../services/idempotency/claim.js'
import type { Answer, Recording } from '../services/idempotency/recording.js'
import { digestOf, idempotencyKey } from '../services/idempotency/request-key.js'
import { RequestLedger } from '../services/idempotency/request-ledger.js'
import { sourceOf } from '../services/limits/sources.js'
import { ClientGoneError } from './deadlines.js'
import { isLoopback } from './gatekeeper.js'
import type {} from './metrics.js'
import type {} from './postgres.js'

/** What a POST route says about repetitions. */
export interface RouteIdempotency {
  /** The answer shows what is kept nowhere as it is: it is kept sealed. Default false. */
  isSecret?: boolean
  /** Whether carrying it out twice does no more than doing so once, or its transaction tells that it was. Default true. */
  isRepeatable?: boolean
}

/** The one attempt at a request, and where its answer goes. */
export interface Attempt { readonly claim: Claim, readonly reply: FastifyReply }

/** What a handler answers. */
export interface Outcome {
  status: number
  headers?: Record<string, string>
  body: unknown
}

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * How an `Idempotency-Key` is honoured, which every POST and PATCH takes; the text says why one does not, and what to do. false: it only
     * reads, and the header means nothing, as with GET.
     */
    idempotency?: RouteIdempotency | string | false
  }
  interface FastifyRequest {
    /** What carries the request out once; null without an `Idempotency-Key`. */
    attempt: Attempt | null
    /**
     * What a service is to call in the transaction of the request's effect, so that a repetition finds both or neither; undefined without
     * an `Idempotency-Key`. `outcomeOf` makes the answer of what the service found; where only the handler knows it, leave it out.
     */
    recording<T> (outcomeOf?: (result: T) => Outcome): Recording<T> | undefined
  }
  interface FastifyReply {
    /** Sends what `outcomeOf` has made as well. */
    sendOutcome (outcome: Outcome): FastifyReply
  }
}

export interface IdempotencyOptions {
  /** Seal answers that hold secrets: the first one seals, all of them open. undefined: the one in a file in `dataDir`. */
  secrets?: readonly string[] | undefined
  dataDir: string
  /** Seconds that an answer is kept. Default 24 hours. */
  ttl?: number
  /** Milliseconds after which a request is given up whose process has ended. Default 15 s. */
  lease?: number
}

const PURPOSE = 'larder: answers to requests with an Idempotency-Key, AES-256-GCM'
const HOUR = 3_600_000
const METHODS = new Set(['POST', 'PATCH'])
/** What of an answer's headers is given again; the others are of the one who asks, and of the moment. */
const KEPT_HEADERS = ['content-type', 'location', 'etag', 'link', 'cache-control']
/** Say nothing about the request that would hold the next time, or, like a fault in it, hold for it corrected. */
const PASSING = new Set([400, 401, 403, 429])
/** Like 5xx: the request was broken off, or nobody was there any more to get an answer, with or without its effect. */
const BROKEN_OFF = new Set([408, 499])

/**
 * Makes POST and PATCH requests with an `Idempotency-Key` safe to repeat (draft-ietf-httpapi-idempotency-key-header-07): what is sent
 * again by the same caller is not done again, and gets the first answer. What does not validate, is turned away or fails (5xx) leaves
 * no trace, but for what may not be done twice and had begun. Registered before the routes, and before what counts uses, so that a repetition is not counted.
 */
export default fp<IdempotencyOptions>(async function idempotency (app, { secrets, dataDir, ...times }) {
  let ledger: RequestLedger | undefined
  let sweeping: NodeJS.Timeout | undefined
  const counts = { first: 0, replayed: 0, refused: 0 }
  const opened = (): RequestLedger => ledger!

  app.decorateRequest('attempt', null)
  app.decorateRequest('recording', recording)
  app.decorateReply('sendOutcome', function sendOutcome (this: FastifyReply, { status, headers, body }: Outcome) {
    if (headers !== undefined) this.headers(headers)
    return this.code(status).send(body)
  })

  app.metrics.addCollector(() => Object.entries(counts).map(([outcome, value]) => ({
    name: 'larder_idempotency_keys_total', help: 'Requests with an Idempotency-Key, by what became of the key', type: 'counter' as const, labels: { outcome }, value
  })))

  app.addHook('onRoute', (route) => {
    if (![route.method].flat().some((method) => METHODS.has(method))) return
    const given = route.config?.idempotency ?? {}
    if (given === false) return
    route.config = { ...route.config, idempotency: given }
    route.preHandler = [...[route.preHandler ?? []].flat(), typeof given === 'string' ? refusing(given) : claiming(route, given)]
    if (typeof given === 'string') return
    route.onSend = [...[route.onSend ?? []].flat(), keeping]
    if (given.isRepeatable === false) route.handler = begun(route.handler)
  })

  function claiming ({ url }: RouteOptions, { isSecret = false, isRepeatable = true }: RouteIdempotency): preHandlerHookHandler {
    return function claimRequest (request, reply, done) {
      const header = request.headers['idempotency-key']
      if (header === undefined) return done()
      // Asked for before the wait, so that it knows of whatever happens meanwhile.
      const { signal } = reply.call
      begin(request, header).then(async (found) => {
        if (signal?.aborted !== true && !reply.sent) return found
        if (found instanceof Claim) await found.release()
        throw signal?.reason ?? new ClientGoneError()
      }).then((found) => {
        counts[found instanceof Claim ? 'first' : 'replayed']++
        if (!(found instanceof Claim)) {
          reply.code(found.status).headers({ ...found.headers, 'idempotency-replayed': 'true' }).send(found.body)
          return
        }
        request.attempt = { claim: found, reply }
        // A reply that goes past the hooks ends with its connection. One that nobody waits for any more has its handler still to answer it.
        reply.raw.once('close', () => { if (reply.sent) found.end() })
        done()
      }, (error: Error) => {
        counts.refused++
        if (!reply.sent) done(error)
      }).catch((err: unknown) => { breakOff(request, reply, err) })
    }

    async function begin (request: FastifyRequest, header: string | string[]): Promise<Claim | Answer> {
      const { method, params, query, body, headers } = request
      return await opened().claim({
        id: digestOf(callerOf(request), method, url, params, idempotencyKey(header)),
        fingerprint: digestOf(query, headers['if-match'], headers['if-none-match'], body),
        isRepeatable,
        isSealed: isSecret
      })
    }
  }

  const keeping: onSendHookHandler<unknown> = function keepAnswer (request, reply, payload, done) {
    if (request.attempt === null) return done(null, payload)
    const { claim, claim: { recorded } } = request.attempt
    // Should a later hook fail, its answer comes here too.
    request.attempt = null
    if (recorded !== undefined && recorded.status === reply.statusCode) {
      claim.end()
      return done(null, recorded.body)
    }
    finish(claim, reply, payload).catch((err: unknown) => {
      app.log.warn({ err, request_id: request.id }, 'The answer to a request with an Idempotency-Key could not be kept: a repetition is told so, or carried out')
    }).then(() => { done(null, payload) }).catch((err: unknown) => { breakOff(request, reply, err) })
  }

  app.addHook('onReady', async () => {
    const { database, log } = app
    const sealer = new Sealer(secrets ?? [await secretOf(dataDir)], PURPOSE)
    const onFault = (err: unknown): void => { log.warn({ err }, 'The lease of a request with an Idempotency-Key could not be prolonged') }
    ledger = new RequestLedger({ database, sealer, onFault, ...times })
    const sweep = (): void => {
      opened().sweep().catch((err: unknown) => { log.warn({ err }, 'Old answers to requests with an Idempotency-Key could not be removed: tried again in an hour') })
    }
    sweeping = setInterval(sweep, HOUR).unref()
    sweep()
  })
  app.addHook('onClose', async () => { clearInterval(sweeping) })
}, { name: 'idempotency', fastify: '5.x', dependencies: ['deadlines', 'gatekeeper', 'metrics'] })

function begun (handler: RouteHandlerMethod): RouteHandlerMethod {
  return function handle (request, reply) {
    request.attempt?.claim.begin()
    return handler.call(this, request, reply)
  }
}

/** What nobody catches ends the process: here a fault ends the connection, so that nobody waits for an answer. */
function breakOff (request: FastifyRequest, reply: FastifyReply, err: unknown): void {
  request.log.error({ err, request_id: request.id }, 'The answer to a request with an Idempotency-Key could not be sent')
  reply.raw.destroy()
}

function recording<T> (this: FastifyRequest, outcomeOf?: (result: T) => Outcome): Recording<T> | undefined {
  if (this.attempt === null) return undefined
  const { claim, reply } = this.attempt
  return async (transaction, result) => { await claim.record(transaction, outcomeOf && answerOf(reply, outcomeOf(result))) }
}

function refusing (reason: string): preHandlerHookHandler {
  return function refuseKey (request, _reply, done) {
    done(request.headers['idempotency-key'] === undefined ? undefined : new UnsupportedHereError(reason))
  }
}

/** Whoever has no credential is told from others by the address; on this machine all are one. */
function callerOf ({ principal: { kind, id }, ip }: FastifyRequest): unknown {
  if (kind !== 'local' && kind !== 'anonymous') return id
  return [kind, isLoopback(ip) ? 'here' : sourceOf(ip)]
}

/** As the handler would send it. */
function answerOf (reply: FastifyReply, { status, headers, body }: Outcome): Answer {
  const serialize = reply.getSerializationFunction(String(status)) as ((body: unknown) => string) | undefined
  const text = serialize === undefined ? JSON.stringify(body) : serialize(body)
  return { status, headers: { 'content-type': 'application/json; charset=utf-8', ...keptHeaders(reply), ...headers }, body: Buffer.from(text) }
}

async function finish (claim: Claim, reply: FastifyReply, payload: unknown): Promise<void> {
  const { statusCode: status } = reply
  if (status >= 500 || BROKEN_OFF.has(status)) return await claim.fail()
  if (PASSING.has(status)) return await claim.release()
  if (typeof payload !== 'string' && !Buffer.isBuffer(payload) && payload !== null && payload !== undefined) {
    claim.end()
    throw new TypeError('A route that streams its answer takes no Idempotency-Key: say so in its config.idempotency')
  }
  await claim.settle({ status, headers: keptHeaders(reply), body: Buffer.from(payload ?? '') })
}

function keptHeaders (reply: FastifyReply): Record<string, string> {
  return Object.fromEntries(KEPT_HEADERS.flatMap((name) => {
    const value = reply.getHeader(name)
    return value === undefined ? [] : [[name, String(value)]]
  }))
}
