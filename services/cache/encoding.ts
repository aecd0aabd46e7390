import { isAscii } from 'node:buffer'
import type { EncodedValue } from './entry.js'

/** Above this many characters bytes are faster to write to a socket than a string, even of ASCII. */
const STRING_LIMIT = 16_384

/** JSON text in the form that is fastest to answer with: see EncodedValue. Bytes never come from Node's pool: see `ownCopy`. */
export function encodeText (text: string): EncodedValue {
  const length = Buffer.byteLength(text)
  if (length === text.length && length <= STRING_LIMIT) return text
  const bytes = Buffer.allocUnsafeSlow(length)
  bytes.write(text)
  return bytes
}

/** The same from UTF-8 bytes, which must not be a view of memory that someone else reuses. */
export function encodeBytes (bytes: Buffer): EncodedValue {
  if (bytes.length <= STRING_LIMIT && isAscii(bytes)) return bytes.toString('latin1')
  return bytes.buffer.byteLength > 2 * bytes.length ? ownCopy(bytes) : bytes
}

/** A view keeps all of the memory behind it alive (a pool, a piece of a socket's stream), which nobody would count. */
function ownCopy (bytes: Buffer): Buffer {
  const copy = Buffer.allocUnsafeSlow(bytes.length)
  bytes.copy(copy)
  return copy
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
