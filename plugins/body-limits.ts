import { isUtf8 } from 'node:buffer'
import fp from 'fastify-plugin'
import createError from '@fastify/error'

/** Arrays and objects within each other: recursion over what is deeper would overflow the stack, here or in a client. */
export const MAX_DEPTH = 64

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

const QUOTE = 0x22
const BACKSLASH = 0x5c

/** Whether JSON text opens more than `limit` brackets without closing them. Linear and without recursion; the text need not be valid. */
export function isDeeperThan (json: Uint8Array, limit: number): boolean {
  if (json.length <= limit) return false
  let depth = 0
  for (let i = 0; i < json.length; i++) {
    const byte = json[i]!
    if (byte === QUOTE) {
      for (i++; i < json.length && json[i] !== QUOTE; i++) if (json[i] === BACKSLASH) i++
    } else if ((byte | 0x20) === 0x7b) { // [ or {
      if (++depth > limit) return true
    } else if ((byte | 0x20) === 0x7d) { // ] or }
      depth--
    }
  }
  return false
}
