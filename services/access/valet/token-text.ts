import { isUtf8 } from 'node:buffer'
import { badCredential } from '../errors.js'
import { ID, TYPE } from './claims.js'

/** Characters that a token may have. */
export const MAX_LENGTH = 8192

/**
 * Reads the key id of a token, and refuses every text that this service would not have written: the signature says nothing about
 * how a token is spelt, and what can be spelt in two ways can be misread in one of them. So each part is base64url without padding or
 * stray bits (RFC 4648, 3.5) of the JSON that `JSON.stringify` makes: no member comes twice, no number has two forms.
 * @throws UnauthorizedError
 */
export function keyIdOf (text: string, algorithm: string): string {
  if (text.length > MAX_LENGTH) throw badCredential('the token is too long')
  const parts = text.split('.', 4)
  if (parts.length !== 3) throw badCredential('not three parts')
  const [header, claims, signature] = parts.map(bytesOf) as [Buffer, Buffer, Buffer]
  if (signature.length === 0) throw badCredential('no signature')
  objectOf(claims)
  const { alg, typ, kid, ...more } = objectOf(header)
  if (alg !== algorithm || typ !== TYPE || typeof kid !== 'string' || !ID.test(kid)) throw badCredential('the header of the token is not acceptable')
  // A key that the token brings along, an address to fetch one from, an extension: all of them are somebody else's.
  if (Object.keys(more).length > 0) throw badCredential('the header of the token says more than it should')
  return kid
}

function bytesOf (part: string): Buffer {
  const bytes = Buffer.from(part, 'base64url')
  if (bytes.toString('base64url') !== part) throw badCredential('a part of the token is not in base64url')
  return bytes
}

function objectOf (bytes: Buffer): Record<string, unknown> {
  if (!isUtf8(bytes)) throw badCredential('a part of the token is not in UTF-8')
  const text = bytes.toString()
  let value: unknown
  let again: string
  try {
    value = JSON.parse(text)
    again = JSON.stringify(value)
  } catch {
    // Thousands of arrays in each other are JSON, and more than the stack has room for.
    throw badCredential('a part of the token is not JSON')
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badCredential('a part of the token is no object')
  if (again !== text) throw badCredential('a part of the token is not spelt as it should be')
  return value as Record<string, unknown>
}
