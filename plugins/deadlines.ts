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
  }
}

export const ClientGoneError = createError('ERR_CLIENT_GONE', 'The caller went away before there was an answer.', 499)
export const DeadlinePassedError = createError('ERR_TIMEOUT', 'The request took longer than its Request-Timeout: give it more, or send it again.', 504)

/** Seconds that a caller may give. */
const MAX_TIMEOUT = 3600
const SECONDS = /^\d{1,4}(\.\d{1,6})?$/
/** Milliseconds for what ends with the deadline to say so itself, before it is answered for. */
const MANNERS = 50

/** `Request-Timeout: 2.5` gives a request so many seconds: 504 when they are over, and nothing is begun for it any more. */
export default fp(async function deadlines (app) {
  const calls = new WeakMap<FastifyReply, { call: Call, end: AbortController }>()

  const callOf = (reply: FastifyReply): { call: Call, end: AbortController } => {
    const known = calls.get(reply)
    if (known !== undefined) return known
    const end = new AbortController()
    const made = { call: { signal: end.signal }, end }
    calls.set(reply, made)
    reply.raw.once('close', () => { if (!reply.raw.writableFinished) end.abort(new ClientGoneError()) })
    return made
  }

  app.decorateReply('call', { getter () { return callOf(this).call } })

  app.decorate('beginDeadline', function beginDeadline (request: FastifyRequest, reply: FastifyReply) {
    const text = request.headers['request-timeout']
    const seconds = typeof text === 'string' && SECONDS.test(text) ? Number(text) : 0
    if (seconds <= 0 || seconds > MAX_TIMEOUT) return new InvalidInputError(`Request-Timeout must be a number of seconds, more than 0 and at most ${MAX_TIMEOUT}: correct it, or leave it out.`)
    const made = callOf(reply)
    made.call.until = performance.now() + seconds * 1000
    const timer = setTimeout(() => {
      made.end.abort(new DeadlinePassedError())
      setTimeout(() => { if (!reply.sent && !reply.raw.headersSent) reply.send(new DeadlinePassedError()) }, MANNERS).unref()
    }, seconds * 1000)
    reply.raw.once('close', () => { clearTimeout(timer) })
    return undefined
  })
}, { name: 'deadlines', fastify: '5.x' })
