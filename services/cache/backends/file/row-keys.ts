import { InvalidCursorError, UnsupportedOperationError } from '../../errors.js'
import type { KeyRange } from './leveldb/versions.js'

/*
 * Keys of the store, in the order of which it can be read: a letter for the kind of row, the namespace, NUL, and the key in UTF-8.
 * A namespace has no NUL. Lone surrogates, which UTF-8 has no bytes for, are written as if it had (WTF-8), so that no two keys meet.
 */

/**
 * `e` an entry, `v` a value kept apart from it, `a` what changed of it since, `t` a tally, `z` an invalidation, which was `i` once. Invalidations stand
 * behind all others, so that few blocks of a table may hold any: see `concernedBy`.
 */
export type RowKind = 'e' | 'v' | 'a' | 't' | 'z' | 'i'

const LONE_SURROGATE = /\p{Surrogate}/u

/** @throws UnsupportedOperationError for a namespace that has a NUL */
export function rowKey (kind: RowKind, namespace: string, key: string): Buffer {
  if (namespace.includes('\0')) throw new UnsupportedOperationError('The file backend takes no namespace with a NUL in it: name it otherwise.')
  const start = `${kind}${namespace}\0`
  return LONE_SURROGATE.test(key) ? Buffer.concat([Buffer.from(start), generalised(key)]) : Buffer.from(start + key)
}

/** @param field see `invalidation-fields.ts` */
export const invalidationKey = (field: string): Buffer => Buffer.from(`z${field}`)

export const tallyKey = (bucket: number): Buffer => Buffer.from(`t${bucket}`)
export const tallyIn = (row: Buffer): number => Number(row.toString('latin1', 1))

/** Tells where a page ended, without the namespace. */
export const cursorAt = (key: string): string => rowKey('e', '', key).subarray(1).toString('base64url')

/** The row of the entry at which a page ended. @throws InvalidCursorError */
export function rowAt (namespace: string, cursor: string): Buffer {
  const tail = Buffer.from(cursor, 'base64url')
  if (tail[0] !== 0) throw new InvalidCursorError()
  return Buffer.concat([Buffer.from(`e${namespace}`), tail])
}

/** The key in a row of an entry. */
export const keyIn = (row: Buffer): string => decoded(row.subarray(row.indexOf(0) + 1))

/** The same row of another kind. */
export function ofKind (kind: RowKind, row: Buffer): Buffer {
  const copy = Buffer.from(row)
  copy[0] = kind.charCodeAt(0)
  return copy
}

/** Undefined for what is no key of an entry. */
export function namesIn (row: Buffer): { namespace: string, key: string } | undefined {
  const end = row.indexOf(0)
  if (end === -1) return undefined
  return { namespace: row.toString('utf8', 1, end), key: decoded(row.subarray(end + 1)) }
}

/** From the first row of a kind (and namespace) to the one behind the last. */
export function rangeOf (kind: RowKind, namespace?: string): { gte: Buffer, lt: Buffer } {
  const gte = Buffer.from(namespace === undefined ? kind : `${kind}${namespace}\0`)
  const lt = Buffer.from(gte)
  lt[lt.length - 1]!++
  return { gte, lt }
}

/**
 * Which rows must go where those of a range are lost; undefined for all. An entry may have been deleted, written or given another expiry in
 * what is lost, and an invalidation may have been about any of them. A value is good with its own entry alone, whatever is lost of them.
 * Tallies are of what was there before.
 */
export function concernedBy (lost: KeyRange): KeyRange[] | undefined {
  if (isIn('z', lost)) return undefined
  const tallies = rangeOf('t')
  const concerned = [lost, { from: tallies.gte, to: tallies.lt }]
  for (const kind of ['a', 'e'] as const) {
    if (!isIn(kind, lost)) continue
    const { gte, lt } = rangeOf(kind)
    const from = lost.from.compare(gte) > 0 ? lost.from : gte
    const to = lost.to.compare(lt) < 0 ? lost.to : lt
    for (const each of ['a', 'e', 'v'] as const) {
      // Where the kind ends, the next one begins.
      concerned.push({ from: ofKind(each, from), to: to === lt ? rangeOf(each).lt : ofKind(each, to) })
    }
  }
  return concerned
}

/** The namespace in which entries are lost with a range of rows: '' for several; undefined for none, as values are missed when they are read. */
export function namespaceOf ({ from, to }: KeyRange): string | undefined {
  const values = rangeOf('v')
  if (from.compare(values.gte) >= 0 && to.compare(values.lt) <= 0) return undefined
  const namespace = namesIn(from)?.namespace
  return namespace !== undefined && namespace === namesIn(to)?.namespace ? namespace : ''
}

function isIn (kind: RowKind, { from, to }: KeyRange): boolean {
  const { gte, lt } = rangeOf(kind)
  return from.compare(lt) < 0 && to.compare(gte) >= 0
}

function generalised (text: string): Buffer {
  const parts = Array.from(text, (character) => {
    const code = character.codePointAt(0) as number
    return code >= 0xd800 && code <= 0xdfff ? Buffer.from([0xe0 | code >> 12, 0x80 | (code >> 6 & 0x3f), 0x80 | (code & 0x3f)]) : Buffer.from(character)
  })
  return Buffer.concat(parts)
}

function decoded (bytes: Buffer): string {
  const text = bytes.toString()
  return text.includes('\ufffd') ? generalisedText(bytes) : text
}

function generalisedText (bytes: Buffer): string {
  let text = ''
  let from = 0
  for (let at = 0; at + 2 < bytes.length; at++) {
    if (bytes[at] !== 0xed || (bytes[at + 1] as number) < 0xa0) continue
    const code = 0xd000 | ((bytes[at + 1] as number) & 0x3f) << 6 | ((bytes[at + 2] as number) & 0x3f)
    text += bytes.toString('utf8', from, at) + String.fromCharCode(code)
    from = at + 3
    at += 2
  }
  return text + bytes.toString('utf8', from)
}
