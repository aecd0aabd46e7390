import { Transform, type Readable } from 'node:stream'
import createError from '@fastify/error'
import type { onSendHookHandler, preHandlerHookHandler, preParsingHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import type {} from './gatekeeper.js'

const BodyTooLargeError = createError<[most: number]>(
  'ERR_CONTENT_TOO_LARGE', 'The credential permits bodies of %s bytes: send less in one request, or ask for a credential that permits more.', 413)
const AnswerTooLargeError = createError<[most: number]>(
  'ERR_CONTENT_TOO_LARGE', 'The credential permits answers of %s bytes: read less in one request, or ask for a credential that permits more.', 413)

const WITHOUT_BODY = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * What some credentials have only so much of: uses, and bytes of a body or an answer. A use is counted when the request is permitted
 * and well-formed, before the handler does anything. A body is counted as it arrives. An answer is held against the limit where the
 * operation reads: one that is known to be too large is refused, and one that is streamed ends there, with its connection. Routes
 * that ask for no credential are spared. Registered before every route that asks for one.
 */
export default fp(async function allowances (app) {
  app.addHook('onRoute', (route) => {
    const scope = route.config?.scope
    if (scope === undefined || scope === 'public') return
    if ([route.method].flat().some((method) => !WITHOUT_BODY.has(method))) route.preParsing = [...[route.preParsing ?? []].flat(), countBody]
    if (scope.endsWith(':read')) route.onSend = [...[route.onSend ?? []].flat(), countAnswer]
    // The last one: whatever else may turn the request away has done so.
    route.preHandler = [...[route.preHandler ?? []].flat(), spend]
  })
}, { name: 'allowances', fastify: '5.x', dependencies: ['gatekeeper'] })

const spend: preHandlerHookHandler = function spend (request, _reply, done) {
  const use = request.identified?.spend
  if (use === undefined) return done()
  use().then(() => { done() }, done)
}

const countBody: preParsingHookHandler = function countBody (request, _reply, payload, done) {
  const most = request.identified?.maxBytes
  if (most === undefined) return done(null, payload)
  const length = request.headers['content-length']
  // Node reads no more than the length that was said.
  if (length !== undefined) return done(Number(length) > most ? new BodyTooLargeError(most) : null, payload)
  const counted = counting(most, () => {
    payload.unpipe(counted)
    payload.resume()
    return Object.assign(new BodyTooLargeError(most), { headers: { connection: 'close' } })
  })
  payload.once('error', (error) => { counted.destroy(error) })
  done(null, payload.pipe(counted))
}

const countAnswer: onSendHookHandler<unknown> = function countAnswer (request, reply, payload, done) {
  const most = request.identified?.maxBytes
  if (most === undefined || reply.statusCode >= 400) return done(null, payload)
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : Buffer.isBuffer(payload) ? payload.length : Number(reply.getHeader('content-length') ?? 0)
  if (length > most) return done(new AnswerTooLargeError(most))
  if (!isStream(payload)) return done(null, payload)
  const counted = counting(most, () => new AnswerTooLargeError(most))
  counted.once('close', () => { payload.destroy() })
  payload.once('error', (error) => { counted.destroy(error) })
  done(null, payload.pipe(counted))
}

/** Lets as many bytes pass, and ends with the error then. */
function counting (most: number, excess: () => Error): Transform {
  let count = 0
  return new Transform({
    transform (chunk: Buffer, _encoding, done) {
      count += chunk.length
      if (count > most) done(excess())
      else done(null, chunk)
    }
  })
}

function isStream (payload: unknown): payload is Readable {
  return typeof payload === 'object' && payload !== null && 'pipe' in payload && typeof payload.pipe === 'function'
}
