import createError from '@fastify/error'

/**
 * The faults that services report. The HTTP layer turns each into an RFC 9457 problem; its `type` is made from the code
 * (`ERR_NOT_FOUND` → `/problems/not-found`). A message says what to do next, and never carries SQL or a connection string.
 */
export const NotFoundError = createError<[what: string]>('ERR_NOT_FOUND', '%s', 404)
export const ConflictError = createError<[why: string]>('ERR_CONFLICT', '%s', 409)
export const InvalidInputError = createError<[why: string]>('ERR_INVALID_INPUT', '%s', 400)
/** A fault of one field of the request; the answer names the field in `errors` too. */
export function invalidField (field: string, fault: string): InstanceType<typeof InvalidInputError> {
  return Object.assign(new InvalidInputError(`${field} ${fault}`), { field, fault })
}
export const UnsupportedHereError = createError<[why: string]>('ERR_UNSUPPORTED_HERE', '%s', 422)
/** What a write was to replace has changed since its sender read it. */
export const ChangedSinceError = createError<[what: string]>('ERR_PRECONDITION_FAILED', '%s has changed since it was read: read it again, and decide again.', 412)
export const NotCachedError = createError('ERR_NOT_CACHED', 'Nothing that may answer this is cached, and the request asks for nothing else: leave out only-if-cached.', 504)
export const UnavailableError = createError<[why: string]>('ERR_UNAVAILABLE', '%s', 503)
