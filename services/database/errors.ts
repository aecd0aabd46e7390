import createError from '@fastify/error'
import { ConflictError, InvalidInputError, UnavailableError } from '../errors.js'
import { codeOf, isOurs, isSqlState, NoConnectionError } from './faults.js'

/** Another process uses the embedded database. */
export const DataDirLockedError = createError<[why: string]>('ERR_DATA_DIR_LOCKED', '%s', 503)
/** The folder of the embedded database cannot be made, or not be written to. */
export const DataDirUnusableError = createError<[why: string]>('ERR_DATA_DIR_UNUSABLE', '%s', 503)

/** The connection was lost during a COMMIT, and the database could not be asked what became of it. */
export const CommitUnknownError = createError(
  'ERR_COMMIT_UNKNOWN', 'The connection to the database was lost while the change was being committed: look whether it was made before you send it again.', 503)

/** Seconds after which a request that the database could not answer is worth repeating. */
const RETRY_AFTER = 1

/**
 * What a database fault means to whoever asked: full or broken connections and passing conflicts are 503 with `retryAfter`,
 * violated constraints 409, values that PostgreSQL cannot store 400. Anything else is a fault of ours and comes back as it is.
 * The original is the `cause`; no message repeats its text, which may hold SQL or a connection string.
 */
export function fromDatabase (error: unknown): unknown {
  if (!(error instanceof Error) || isOurs(error)) return error
  if (error instanceof NoConnectionError) return unavailable('Every connection to the database is in use', error)
  const code = codeOf(error)
  // `pg` reports lost connections and exhausted pools as plain errors.
  if (code === undefined) return unavailable('The database did not answer', error)
  switch (code) {
    case '23505': return caused(new ConflictError('Something with the same unique value exists already: change that value, or update what is there.'), error)
    case '23001': case '23503': return caused(new ConflictError('Something else refers to this, or this refers to something that does not exist: change that first.'), error)
    case '40001': case '40P01': case '55P03': return unavailable('The database was busy with a conflicting change', error)
    case '25006': return unavailable('The database takes no changes at present', error)
    case '57014': return unavailable('The database took too long', error)
    case '53300': return unavailable('The database has no connection to spare', error)
  }
  if (/^(22|23)/.test(code)) return caused(new InvalidInputError('The database cannot store this: a value is outside of what its column takes.'), error)
  return /^(08|28|3D|53|57|58)/.test(code) || !isSqlState(code) ? unavailable('The database cannot be reached', error) : error
}

function unavailable (what: string, cause: Error): Error {
  return Object.assign(caused(new UnavailableError(`${what}: try again in a moment.`), cause), { retryAfter: RETRY_AFTER })
}

function caused<E extends Error> (error: E, cause: Error): E {
  return Object.assign(error, { cause })
}
