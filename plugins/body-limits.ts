import { isUtf8 } from 'node:buffer'
import type { IncomingHttpHeaders } from 'node:http'
import fp from 'fastify-plugin'
import createError from '@fastify/error'
import type { onRequestHookHandler, preValidationHookHandler } from 'fastify'
import { PROBLEMS } from '../schemas/problems.js'
import { isDeeperThan, MAX_DEPTH } from '../services/json-depth.js'
import { leaveUnread } from './unread-body.js'

const TooDeepError = createError(
  'ERR_MALFORMED_BODY', `The body nests more than ${MAX_DEPTH} arrays and objects in each other: flatten it.`, 400)
const NotUtf8Error = createError('ERR_MALFORMED_BODY', 'The body is not valid UTF-8: encode it so and send it again.', 400)
const EncodedError = createError('ERR_UNSUPPORTED_MEDIA_TYPE', 'The body is compressed: send it as it is, without Content-Encoding.', 415)
const MediaTypeError = createError('ERR_UNSUPPORTED_MEDIA_TYPE', PROBLEMS['unsupported-media-type'][2], 415)

/** Methods whose bodies are not read. */
const UNREAD = new Set(['GET', 'HEAD'])
const NOT_TAKEN = 'is not taken here: this operation has no body, and everything about it is said in its path and its query'

/**
 * JSON bodies, and no others: in UTF-8, of bounded depth, without `__proto__`. An empty body counts as none, whatever its
 * type is said to be, since clients set the header on DELETE as well. A body that says something is refused where the route's schema
 * has none: it would be ignored, and whoever names a namespace in it would change another (RFC 9110, sections 9.3.1 and 9.3.5).
 */
export default fp(async function bodyLimits (app) {
  const parse = app.getDefaultJsonParser('error', 'error')
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined)
    const encoding = request.headers['content-encoding']
    if (encoding !== undefined && encoding.toLowerCase() !== 'identity') return done(new EncodedError())
    if (!isUtf8(body)) return done(new NotUtf8Error())
    if (isDeeperThan(body, MAX_DEPTH)) return done(new TooDeepError())
    return parse(request, body.toString(), done)
  })
  app.addContentTypeParser('*', ({ headers }, _payload, done) => {
    if (hasBody(headers)) return done(new MediaTypeError())
    return done(null, undefined)
  })

  app.addHook('onRoute', (route) => {
    if (route.schema?.body !== undefined) return
    const methods = [route.method].flat()
    // Behind whatever tells who asks: strangers learn nothing of the route.
    if (methods.some((method) => UNREAD.has(method))) route.onRequest = [route.onRequest ?? [], refuseUnread].flat()
    if (methods.some((method) => !UNREAD.has(method))) route.preValidation = [refuseRead, route.preValidation ?? []].flat()
  })
}, { name: 'body-limits', fastify: '5.x' })

function hasBody (headers: IncomingHttpHeaders): boolean {
  return headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
}

/** A body without a length is let pass: proxies give an empty one of that kind to what came over HTTP/2. */
const refuseUnread: onRequestHookHandler = (request, reply, done) => {
  if ((request.headers['content-length'] ?? '0') === '0') return done()
  leaveUnread(request, reply)
  done(new BodyNotTakenError([]))
}

/** One without fields says nothing: libraries send `{}` or null where there is nothing to be sent. */
const refuseRead: preValidationHookHandler = ({ body }, _reply, done) => {
  if (body === undefined || body === null) return done()
  const names = typeof body === 'object' ? Object.keys(body) : []
  if (typeof body === 'object' && names.length === 0) return done()
  done(new BodyNotTakenError(Array.isArray(body) ? [] : names))
}

/** Names each field, as for any other that is not known. */
class BodyNotTakenError extends Error {
  readonly statusCode = 400
  readonly validationContext = 'body'
  readonly validation: { keyword: string, instancePath: string, schemaPath: string, params: object, message: string }[]

  constructor (names: readonly string[]) {
    super('The operation takes no body')
    const paths = names.length === 0 ? [''] : names.slice(0, 20).map((name) => `/${name}`)
    this.validation = paths.map((instancePath) => ({ keyword: 'false schema', instancePath, schemaPath: '#', params: {}, message: NOT_TAKEN }))
  }
}
