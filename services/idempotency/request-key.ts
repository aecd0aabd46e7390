import { createHash } from 'node:crypto'
import { MalformedKeyError } from './errors.js'

const MAX_LENGTH = 255
/** A string of RFC 9651, and what clients send that know of none: a UUID as it is. */
const STRING = /^"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"$/
const TOKEN = /^[\w!#$%&'*+\-.^`|~:/=@]+$/

/**
 * The key in an `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header-07): a structured-field string, or the same without
 * quotes. @throws MalformedKeyError
 */
export function idempotencyKey (header: string | readonly string[]): string {
  const text = String(header).trim()
  const key = STRING.exec(text)?.[1]?.replace(/\\(["\\])/g, '$1') ?? (TOKEN.test(text) ? text : '')
  if (key === '' || key.length > MAX_LENGTH) throw new MalformedKeyError()
  return key
}

/** Stands for JSON values, of which the same make the same: the order of an object's members means nothing. Bodies nest at most `MAX_DEPTH`. */
export function digestOf (...values: unknown[]): Buffer {
  return createHash('sha256').update(canonical(values)).digest()
}

function canonical (value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1)
    return `{${members.map(([name, member]) => `${JSON.stringify(name)}:${canonical(member)}`).join(',')}}`
  }
  // 1e400 is no null, as JSON would write it.
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
