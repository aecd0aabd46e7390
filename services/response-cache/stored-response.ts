import { encodeText } from '../cache/encoding.js'
import type { EncodedValue } from '../cache/entry.js'
import type { HeaderValue, Keeping } from './storing.js'

/**
 * The body as its route gave it, before hooks that change what is sent: JSON text that Fastify made, other text, or bytes; undefined
 * where it cannot be kept.
 */
export type Body = { json: string } | { text: string } | { bytes: Buffer } | undefined

/** What is kept of a response beside its body. Headers that hooks give every answer are not part of it; null takes one of them away. */
export interface Head extends Partial<Omit<Keeping, 'ttl'>> {
  status: number
  headers: Record<string, HeaderValue | null>
  form: 'json' | 'text' | 'bytes' | 'none'
  /** In place of a response: it varies by these headers, and each variant is under a name of its own. */
  variants?: readonly string[]
}

/** What waits for a response gets where that is not for it. */
export const NOT_SHARED: EncodedValue = '[0]'

/**
 * JSON text: the length of the head in bytes, the head, the body. The head is found by its length, and a body of JSON is sent as it
 * stands there, so that a hit parses and copies nothing.
 */
export function encodeResponse (head: Head, body: Body): EncodedValue {
  const text = JSON.stringify(head)
  return encodeText(`[${Buffer.byteLength(text)},${text},${bodyText(body)}]`)
}

/** A response as it is kept. */
export interface StoredResponse { head: Head, body: string | Buffer }

/** Undefined for what is not shared. */
export function decodeResponse (encoded: EncodedValue): StoredResponse | undefined {
  const comma = typeof encoded === 'string' ? encoded.indexOf(',') : encoded.indexOf(44)
  if (comma === -1) return undefined
  const start = comma + 1
  if (typeof encoded === 'string') {
    const end = start + Number(encoded.slice(1, comma))
    const head = headOf(encoded.slice(start, end))
    const body = encoded.slice(end + 1, -1)
    return { head, body: head.form === 'json' ? body : decoded(head.form, body) }
  }
  const end = start + Number(encoded.toString('latin1', 1, comma))
  const head = headOf(encoded.toString('utf8', start, end))
  return { head, body: head.form === 'json' ? encoded.subarray(end + 1, -1) : decoded(head.form, encoded.toString('utf8', end + 1, encoded.length - 1)) }
}

function decoded (form: Head['form'], text: string): string | Buffer {
  switch (form) {
    case 'bytes': return Buffer.from(JSON.parse(text) as string, 'base64')
    case 'text': return JSON.parse(text) as string
    default: return ''
  }
}

function bodyText (body: Body): string {
  if (body === undefined) return 'null'
  if ('json' in body) return body.json
  return JSON.stringify('text' in body ? body.text : body.bytes.toString('base64'))
}

/** Heads that were parsed, by their text: few differ. */
const heads = new Map<string, Known>()
const HEADS = 500
/** The one before: to compare two texts costs less than to hash one, and one route has one head. */
let last: Known | undefined

interface Known { text: string, head: Head }

function headOf (text: string): Head {
  if (last?.text === text) return last.head
  last = heads.get(text) ?? noted(text)
  return last.head
}

function noted (text: string): Known {
  // A copy: a part of a text keeps all of it in memory.
  const known = { text: Buffer.from(text).toString(), head: JSON.parse(text) as Head }
  if (heads.size >= HEADS) heads.clear()
  heads.set(known.text, known)
  return known
}
