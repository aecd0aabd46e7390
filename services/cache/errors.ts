import createError from '@fastify/error'

/** A conditional write met another version than it asked for. */
export const PreconditionFailedError = createError<[key: string]>(
  'ERR_PRECONDITION_FAILED', 'The entry "%s" is not in the state that the condition asks for: read it again and retry with its current version.', 412)

/** The entry alone is larger than the backend's limit; nothing was evicted for it. */
export const EntryTooLargeError = createError<[size: number, limit: number]>(
  'ERR_ENTRY_TOO_LARGE', 'The entry takes %d bytes, more than the limit of %d: store less under this key, or raise max_memory.', 413)

/** A TTL or a grace that is no number of seconds, or more of them than any backend can count. */
export const InvalidLifetimeError = createError<[what: string, key: string, given: string, instead: string]>(
  'ERR_INVALID_INPUT', 'The %s of "%s" is %s: give %s.', 400, RangeError)

/** The value is not what the operation needs (a number to increment, for instance). */
export const WrongTypeError = createError<[why: string]>('ERR_WRONG_TYPE', '%s', 409)

/** The backend cannot do this: a strategy it cannot honour, a limit that is its server's. */
export const UnsupportedOperationError = createError<[why: string]>('ERR_UNSUPPORTED_HERE', '%s', 422)

/** The backend is down, hung, or its circuit is open. */
export const BackendUnavailableError = createError<[why: string]>('ERR_BACKEND_UNAVAILABLE', '%s', 503)

/** The backend is up and refuses writes because it has no room (Redis with `noeviction`, a full disk). */
export const BackendFullError = createError<[backend: string]>(
  'ERR_BACKEND_FULL', 'The %s backend is full: delete something, or give it more room.', 507)

/** The loader did not answer within its time. */
export const LoadTimeoutError = createError<[key: string, milliseconds: number]>(
  'ERR_LOAD_TIMEOUT', 'Loading "%s" took longer than %d ms.', 504)

/** The loader of several keys left this one out. */
export const NotLoadedError = createError<[key: string]>(
  'ERR_NOT_LOADED', 'The loader answered nothing for "%s": answer null for what there is not.', 500)

/** A lease is no longer its holder's: its time is over, or its key was written, deleted or invalidated. */
export const LeaseLostError = createError<[key: string]>(
  'ERR_LEASE_LOST', 'The lease of "%s" is lost: its time was over, or the key has changed since. Read the key again.', 409)

/** More callers wait for values than may. */
export const TooManyWaitersError = createError<[most: number]>(
  'ERR_TOO_MANY_WAITERS', 'All of %d places to wait for a value are taken: try again in a moment, or without a lease.', 503)

/** A list was to go on from a place that no page ended at. */
export const InvalidCursorError = createError(
  'ERR_INVALID_CURSOR', 'The cursor is not one that a page answered with: take next_cursor as it is, or start without one.', 400)
