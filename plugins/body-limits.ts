import { isUtf8 } from 'node:buffer'
import fp from 'fastify-plugin'
import createError from '@fastify/error'
import { isDeeperThan, MAX_DEPTH } from '../services/json-depth.js'

const TooDeepError = createError(
  'ERR_MALFORMED_BODY', `The body nests more than ${MAX_DEPTH} arrays and objects in each other: flatten it.`, 400)
const NotUtf8Error = createError('ERR_MALFORMED_BODY', 'The body is not valid UTF-8: encode it so and send it again.', 400)
const EncodedError = createError('ERR_UNSUPPORTED_MEDIA_TYPE', 'The body is compressed: send it as it is, without Content-Encoding.', 415)

/**
 * JSON bodies, and no others: in UTF-8, of bounded depth, without `__proto__`. An empty body counts as none, whatever its
 * type is said to be, since clients set the header on DELETE as well.
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
}, { name: 'body-limits', fastify: '5.x' })
