import { invalidField } from './errors.js'

/** Most tags on one entry, and most bytes in one of them. */
export const MAX_TAGS = 64
export const MAX_TAG_LENGTH = 250
/** Bytes of UTF-8. */
export const MAX_PATTERN_LENGTH = 250

/** C0, DEL and C1, and halves of surrogate pairs, which UTF-8 cannot encode. */
const UNPRINTABLE = /[\p{Cc}\p{Cs}]/u

/**
 * Holds a key to the rules: 1 to `maxLength` bytes of UTF-8, no control characters.
 * @throws InvalidInputError, naming the field
 */
export function checkKey (key: string, maxLength: number): void {
  const fault = keyFault(key, maxLength)
  if (fault !== undefined) throw invalidField('key', fault)
}

/** What is wrong with a key, as the rest of a sentence; undefined when nothing is. */
export function keyFault (key: string, maxLength: number): string | undefined {
  // No character takes more than three bytes per UTF-16 unit, so that most keys need no counting.
  if (key.length * 3 > maxLength && Buffer.byteLength(key) > maxLength) {
    return `must not be longer than ${maxLength} bytes: this one has ${Buffer.byteLength(key)}.`
  }
  if (key === '') return 'must not be empty.'
  if (UNPRINTABLE.test(key)) return 'must not contain control characters or halves of surrogate pairs.'
  return undefined
}

/**
 * Holds tags to the rules (at most 64, each 1 to 250 bytes, no control characters) and drops repetitions.
 * @param name what messages call them
 * @throws InvalidInputError, naming the field
 */
export function checkTags (tags: unknown, name: string): string[] {
  if (!Array.isArray(tags) || tags.length > MAX_TAGS || !tags.every(isTag)) {
    throw invalidField(
      name, `must be an array of at most ${MAX_TAGS} strings, each 1 to ${MAX_TAG_LENGTH} bytes long and without control characters.`)
  }
  return [...new Set(tags)]
}

/**
 * Holds a glob over keys to the rules: 1 to 250 bytes.
 * @throws InvalidInputError, naming the field
 */
export function checkPattern (pattern: string): void {
  const size = Buffer.byteLength(pattern)
  if (size === 0 || size > MAX_PATTERN_LENGTH) {
    throw invalidField('pattern', `must be 1 to ${MAX_PATTERN_LENGTH} bytes long: this one has ${size}.`)
  }
}

function isTag (tag: unknown): tag is string {
  return typeof tag === 'string' && tag !== '' && Buffer.byteLength(tag) <= MAX_TAG_LENGTH && !UNPRINTABLE.test(tag)
}
