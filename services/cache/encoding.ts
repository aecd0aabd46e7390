import { isAscii } from 'node:buffer'
import type { EncodedValue } from './entry.js'

/** Above this many characters bytes are faster to write to a socket than a string, even of ASCII. */
const STRING_LIMIT = 16_384

/** JSON text in the form that is fastest to answer with: see EncodedValue. */
export function encodeText (text: string): EncodedValue {
  if (text.length > STRING_LIMIT) return Buffer.from(text)
  const bytes = Buffer.byteLength(text)
  return bytes === text.length ? text : Buffer.from(text)
}

/** The same from UTF-8 bytes, which must not be a view of memory that someone else reuses. */
export function encodeBytes (bytes: Buffer): EncodedValue {
  return bytes.length <= STRING_LIMIT && isAscii(bytes) ? bytes.toString('latin1') : bytes
}

/**
 * Encodes a value as JSON text. `undefined` becomes null, as it does inside an array.
 * @throws TypeError for a value that JSON cannot hold (a cycle, a BigInt)
 */
export const encode = (value: unknown): EncodedValue => encodeText(JSON.stringify(value) ?? 'null')

/** A fresh copy of the value; whoever gets it may change it without touching the cache. */
export const decode = (encoded: EncodedValue): unknown =>
  JSON.parse(typeof encoded === 'string' ? encoded : encoded.toString('utf8'))

/** The length of the stored text, in bytes. */
export const encodedLength = (encoded: EncodedValue): number => encoded.length
