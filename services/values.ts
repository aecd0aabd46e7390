import { encodeText } from './cache/encoding.js'
import type { DataType, EncodedValue } from './cache/entry.js'
import { invalidField } from './errors.js'

/** A value as the cache keeps it. */
export interface TypedValue {
  value: EncodedValue
  dataType: DataType
}

interface Check {
  accepts (value: unknown): boolean
  expected: string
}

const CHECKS: Record<DataType, Check> = {
  string: { accepts: (value) => typeof value === 'string', expected: 'a string' },
  number: { accepts: (value) => typeof value === 'number' && Number.isFinite(value), expected: 'a finite number' },
  boolean: { accepts: (value) => typeof value === 'boolean', expected: 'true or false' },
  list: { accepts: (value) => Array.isArray(value), expected: 'an array' },
  dictionary: { accepts: isDictionary, expected: 'an object' },
  binary: { accepts: isBase64, expected: 'base64 text (RFC 4648, section 4, with its padding)' },
  json: { accepts: (value) => value !== undefined, expected: 'a JSON value' }
}

/** The data type of a value that comes without one. Objects, arrays and null are `json`. */
export function inferDataType (value: unknown): DataType {
  switch (typeof value) {
    case 'string': return 'string'
    case 'number': return 'number'
    case 'boolean': return 'boolean'
    default: return 'json'
  }
}

/**
 * Checks a value against its data type (inferred when undefined) and encodes it, once, as JSON text.
 * The caller has bounded the depth of `value`.
 * @throws InvalidInputError when the value is not of the type, or holds a number that JSON text cannot carry (1e400)
 */
export function toTypedValue (value: unknown, dataType: DataType = inferDataType(value)): TypedValue {
  const check = CHECKS[dataType]
  if (!check.accepts(value)) {
    throw invalidField('value', `must be ${check.expected}, since its data_type is "${dataType}".`)
  }
  return { value: encodeText(toJsonText(value, 'value')), dataType }
}

/**
 * JSON text of something that came as JSON.
 * @param name what messages call it
 * @throws InvalidInputError when it holds a number outside the range of a double
 */
export function toJsonText (value: unknown, name: string): string {
  const text = JSON.stringify(value)
  // JSON.parse reads 1e400 as Infinity, which JSON.stringify would quietly write as null.
  if (text.includes('null') && holdsInfinity(value)) {
    throw invalidField(name, 'holds a number outside the range of a double: send it as a string.')
  }
  return text
}

function isDictionary (value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Canonical base64 alone, what encodes again to itself: nothing is lost, and nothing hides in the padding bits. */
function isBase64 (value: unknown): boolean {
  return typeof value === 'string' && value.length % 4 === 0 && Buffer.from(value, 'base64').toString('base64') === value
}

function holdsInfinity (root: unknown): boolean {
  const pending = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value === 'number' && !Number.isFinite(value)) return true
    if (typeof value === 'object' && value !== null) {
      for (const member of Object.values(value)) pending.push(member)
    }
  }
  return false
}
