import createError from '@fastify/error'
import type { FastifyReply, FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import type { Call } from '../services/database.js'
import { InvalidInputError } from '../services/errors.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Begins the time that the request's `Request-Timeout` gives. Answers what is wrong with it. */
    beginDeadline?: (request: FastifyRequest, reply: FastifyReply) => Error | undefined
  }
  interface FastifyReply {
    /**
     * On whose behalf services are asked: given to `within`, it ends their waits, and undoes what is not committed, once nobody is there any
     * more to take the answer, or the time is over that the caller gave.
     */
    readonly call: Call
    /**
     * The signal of `call`, which makes of the reply a caller of the cache: `cache.get(namespace, key, reply)`. Made when it is looked at, which an answer from memory
     * never does.
     */
    readonly signal: AbortSignal
  }
}

export const ClientGoneError = createError('ERR_CLIENT_GONE', 'The caller went away before there was an answer.', 499)
const TimeoutError = createError<[advice: string]>('ERR_TIMEOUT', 'The request took longer than its Request-Timeout: %s.', 504)

/** The time is over that the caller gave. */
export class DeadlinePassedError extends TimeoutError {
  /** Nothing that an operator has to hear of: the caller chose the time. */
  readonly isTold = true

  constructor ({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>) {
    super(READS.has(method) ? 'give it more, or send it again' : headers['idempotency-key'] === undefined ? UNSURE : UNSURE_KEYED)
  }
}

const READS = new Set(['GET', 'HEAD', 'OPTIONS'])
const UNSURE = 'what it was to change may be changed, now or in a moment. Look whether it is before you send it again, or give such requests an Idempotency-Key'
const UNSURE_KEYED = 'what it was to change may be changed, now or in a moment. Send it again with the same Idempotency-Key, or look whether it is'

/** What becomes of a request. */
interface Pending {
  readonly call: Call
  readonly end: AbortController
  /** Whether its answer is on the way, if only through the hooks. */
  isAnswered: boolean
  /** Whether that answer is that the time is over. */
  isExpired: boolean
}

/** Seconds that a caller may give. */
const MAX_TIMEOUT = 3600
const SECONDS = /^\d{1,4}(\.\d{1,6})?$/
/** Milliseconds for what ends with the deadline to say so itself, before it is answered for. */
const MANNERS = 50

/** `Request-Timeout: 2.5` gives a request so many seconds: 504 when they are over, and nothing is begun for it any more. */
export default fp(async function deadlines (app) {
  const calls = new WeakMap<FastifyReply, Pending>()

  const callOf = (reply: FastifyReply): Pending => {
    const known = calls.get(reply)
    if (known !== undefined) return known
    const end = new AbortController()
    const made = { call: { signal: end.signal }, end, isAnswered: false, isExpired: false }
    calls.set(reply, made)
    const leave = (): void => { if (!reply.raw.writableFinished) end.abort(new ClientGoneError()) }
    if (reply.raw.destroyed) leave()
    else reply.raw.once('close', leave)
    return made
  }

  app.decorateReply('call', { getter () { return callOf(this).call } })
  app.decorateReply('signal', { getter () { return callOf(this).end.signal } })

  app.decorate('beginDeadline', function beginDeadline (request: FastifyRequest, reply: FastifyReply) {
    const text = request.headers['request-timeout']
    const seconds = typeof text === 'string' && SECONDS.test(text) ? Number(text) : 0
    if (seconds <= 0 || seconds > MAX_TIMEOUT) return new InvalidInputError(`Request-Timeout must be a number of seconds, more than 0 and at most ${MAX_TIMEOUT}: correct it, or leave it out.`)
    const made = callOf(reply)
    const expire = (): void => {
      // An answer may wait in a hook for long before `reply.sent` says that there is one.
      if (made.isAnswered || reply.sent || reply.raw.headersSent) return
      made.isExpired = true
      reply.send(new DeadlinePassedError(request))
    }
    // A little later than the signal: what gives up by the clock alone would say that something else is at fault.
    made.call.until = performance.now() + seconds * 1000 + MANNERS / 2
    const timer = setTimeout(() => {
      const isStreaming = reply.raw.headersSent && !reply.raw.writableEnded
      if (made.isAnswered && !isStreaming) return
      made.end.abort(new DeadlinePassedError(request))
      setTimeout(expire, MANNERS).unref()
    }, seconds * 1000)
    reply.raw.once('close', () => { clearTimeout(timer) })
    return undefined
  })

  // Before every other one, since they may wait.
  app.addHook('onSend', (request, reply, _payload, done) => {
    if (request.raw.headers['request-timeout'] === undefined) return done()
    const made = callOf(reply)
    made.isAnswered = true
    // What the handler still has to say comes too late, also while this answer waits in a hook; and is no fault of it.
    if (made.isExpired) reply.hijack().send = () => reply
    done()
  })
}, { name: 'deadlines', fastify: '5.x' })
