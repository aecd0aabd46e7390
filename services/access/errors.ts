import createError from '@fastify/error'

const Unauthorized = createError<[why: string]>('ERR_UNAUTHORIZED', '%s', 401)
const Exhausted = createError('ERR_VALET_KEY_EXHAUSTED', 'The valet key has no use left: ask its issuer for another one.', 401)
const Forbidden = createError<[why: string]>('ERR_FORBIDDEN', '%s', 403)

/** Challenges that go into `WWW-Authenticate` (RFC 9110, RFC 6750). Without a credential there is no error to name. */
const CHALLENGE = 'Bearer realm="larder"'

/** No credential, where one is needed. */
export function noCredential (): Error {
  return Object.assign(
    new Unauthorized('This needs a credential: send an API key as `x-api-key`, or a key or token as `Authorization: Bearer`.'),
    { headers: { 'www-authenticate': CHALLENGE } })
}

/**
 * A credential that does not hold. The same answer whatever is wrong with it, so that nothing is learnt from trying; why goes to the
 * log and the audit.
 */
export function badCredential (why: string): Error & { why: string } {
  return Object.assign(
    new Unauthorized('The credential is not valid, or not any more: ask for a new one.'),
    { why, headers: { 'www-authenticate': `${CHALLENGE}, error="invalid_token"` } })
}

/** A valet key that has been used as often as it may be. */
export function exhausted (): Error {
  return Object.assign(new Exhausted(), { why: 'no use left', headers: { 'www-authenticate': `${CHALLENGE}, error="invalid_token"` } })
}

/** A valid credential that does not permit this. `scope` is what would. */
export function forbidden (why: string, scope?: string): Error {
  const named = scope === undefined ? '' : `, scope="${scope}"`
  return Object.assign(new Forbidden(why), { headers: { 'www-authenticate': `${CHALLENGE}, error="insufficient_scope"${named}` } })
}
