import { crc32 } from 'node:zlib'
import type { StoredEntry } from '../entry.js'
import type { Invalidation } from '../ledger.js'
import type { RecordFormat } from '../record-format.js'
import { parsed } from '../backends/parsed.js'

/*
 * A segment is a head of 16 bytes (eight that name the format, eight random ones) and records one after the other, numbers
 * little-endian:
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 4 | the mark of a record |
 * | 4 | 4 | length of the body |
 * | 8 | 4 | CRC-32 of the segment's random bytes, the length and the body |
 * | 12 | | body |
 *
 * The random bytes are in every checksum, so that bytes which a caller stores as a value are never taken for a record.
 *
 * | offset in the body | bytes | |
 * |---|---|---|
 * | 0 | 1 | 1 put, 2 delete, 3 invalidation, 4 written through |
 * | 1 | 8 | number of the write |
 * | 9 | 2 | length of the namespace |
 * | 11 | 4 | length of the key, as a JSON string; 0 for an invalidation |
 * | 15 | | namespace, key, then the entry's record (`record-format.ts`) or the invalidation as JSON |
 */
export const SEGMENT_HEAD = 16
const FORMAT = Buffer.from('LRDJRNL1')
const RECORD_HEAD = 12
const MARK = Buffer.from([0xf5, 0x4a, 0x52, 0xfa])
const BODY_HEAD = 15
const PUT = 1
const DELETE = 2
const INVALIDATION = 3
const THROUGH = 4

/** What the journal remembers. */
export type Journalled =
  | { kind: 'write', namespace: string, key: string, seq: number, entry: StoredEntry | undefined }
  | { kind: 'invalidation', namespace: string, seq: number, what: Invalidation, stamp: number }
  /** What came before it of the key counts no more: the tier has something newer, that the journal never had. */
  | { kind: 'through', namespace: string, key: string, seq: number }

/** The head of a new segment. @param salt eight random bytes */
export const packSegmentHead = (salt: Buffer): Buffer => Buffer.concat([FORMAT, salt])

/** The start of a segment's checksums; undefined for what is no segment of this format. */
export function checksumStart (head: Buffer): number | undefined {
  return head.length >= SEGMENT_HEAD && head.subarray(0, 8).equals(FORMAT) ? crc32(head.subarray(8, SEGMENT_HEAD)) : undefined
}

export async function packBody (what: Journalled, format: RecordFormat): Promise<Buffer> {
  if (what.kind === 'invalidation') {
    const { what: invalidation, stamp } = what
    return join(INVALIDATION, what.seq, what.namespace, '', Buffer.from(JSON.stringify({ what: invalidation, stamp })))
  }
  const { namespace, key, seq } = what
  const name = JSON.stringify(key)
  if (what.kind === 'through') return join(THROUGH, seq, namespace, name)
  const { entry } = what
  if (entry === undefined) return join(DELETE, seq, namespace, name)
  const packed = format.pack(entry, 0)
  return join(PUT, seq, namespace, name, (packed instanceof Promise ? await packed : packed).record)
}

/** What stands in a body; undefined for what this release cannot read, or not any more (a key of the encryption that is gone). */
export async function unpackBody (body: Buffer, format: RecordFormat): Promise<Journalled | undefined> {
  if (body.length < BODY_HEAD) return undefined
  const kind = body[0]
  const seq = body.readDoubleLE(1)
  const nameAt = BODY_HEAD + body.readUInt16LE(9)
  const restAt = nameAt + body.readUInt32LE(11)
  if (restAt > body.length) return undefined
  const namespace = body.toString('utf8', BODY_HEAD, nameAt)
  const rest = body.subarray(restAt)
  if (kind === INVALIDATION) {
    const { what, stamp } = parsed<{ what: Invalidation, stamp: number }>(rest.toString()) ?? {}
    return what === undefined || stamp === undefined ? undefined : { kind: 'invalidation', namespace, seq, what, stamp }
  }
  const key = parsed<string>(body.toString('utf8', nameAt, restAt))
  if (typeof key !== 'string') return undefined
  if (kind === THROUGH) return { kind: 'through', namespace, key, seq }
  if (kind === DELETE) return { kind: 'write', namespace, key, seq, entry: undefined }
  const entry = kind === PUT ? await format.unpack(namespace, key, Buffer.from(rest), 0) : undefined
  return entry === undefined ? undefined : { kind: 'write', namespace, key, seq, entry }
}

function join (kind: number, seq: number, namespace: string, name: string, rest?: Buffer): Buffer {
  const head = Buffer.allocUnsafe(BODY_HEAD)
  const text = Buffer.from(namespace + name)
  const nameLength = Buffer.byteLength(name)
  head[0] = kind
  head.writeDoubleLE(seq, 1)
  head.writeUInt16LE(text.length - nameLength, 9)
  head.writeUInt32LE(nameLength, 11)
  return Buffer.concat(rest === undefined ? [head, text] : [head, text, rest])
}

/** A body as it stands in a segment. @param start see `checksumStart` */
export function packRecord (body: Buffer, start: number): Buffer[] {
  const head = Buffer.allocUnsafe(RECORD_HEAD)
  MARK.copy(head)
  head.writeUInt32LE(body.length, 4)
  head.writeUInt32LE(crc32(body, crc32(head.subarray(4, 8), start)), 8)
  return [head, body]
}

/** The bytes that a body takes in a segment. */
export const recordLength = (body: Buffer): number => RECORD_HEAD + body.length

export interface SegmentContent {
  /** The bodies, in their order. */
  bodies: Buffer[]
  /** Stretches that hold no sound record, and were not the end of an interrupted write. */
  damaged: { at: number, bytes: Buffer }[]
  /** Whether the file ends within a record: a write that was interrupted, and so never acknowledged. */
  isTorn: boolean
}

/** Everything that can be read in the bytes of a segment, whatever happened to them. */
export function readSegment (bytes: Buffer): SegmentContent {
  const content: SegmentContent = { bodies: [], damaged: [], isTorn: false }
  const start = checksumStart(bytes)
  if (start === undefined) {
    // Made, and not begun, or not even its head was written.
    if (bytes.length < SEGMENT_HEAD) content.isTorn = bytes.length > 0
    else content.damaged.push({ at: 0, bytes })
    return content
  }
  let at = SEGMENT_HEAD
  while (at < bytes.length) {
    const body = bodyAt(bytes, at, start)
    if (body !== undefined) {
      content.bodies.push(body)
      at += recordLength(body)
      continue
    }
    const next = nextRecord(bytes, at, start)
    if (next === undefined && isInterrupted(bytes, at)) {
      content.isTorn = true
      return content
    }
    const end = next ?? bytes.length
    content.damaged.push({ at, bytes: bytes.subarray(at, end) })
    at = end
  }
  return content
}

function bodyAt (bytes: Buffer, at: number, start: number): Buffer | undefined {
  if (at + RECORD_HEAD > bytes.length || bytes.compare(MARK, 0, MARK.length, at, at + MARK.length) !== 0) return undefined
  const length = bytes.readUInt32LE(at + 4)
  const bodyStart = at + RECORD_HEAD
  if (bodyStart + length > bytes.length) return undefined
  const body = bytes.subarray(bodyStart, bodyStart + length)
  return crc32(body, crc32(bytes.subarray(at + 4, at + 8), start)) === bytes.readUInt32LE(at + 8) ? body : undefined
}

/** Where the next sound record begins behind a place that has none. */
function nextRecord (bytes: Buffer, at: number, start: number): number | undefined {
  for (let next = bytes.indexOf(MARK, at + 1); next !== -1; next = bytes.indexOf(MARK, next + 1)) {
    if (bodyAt(bytes, next, start) !== undefined) return next
  }
  return undefined
}

/** Whether what is left is the beginning of a record that goes on beyond the end. */
function isInterrupted (bytes: Buffer, at: number): boolean {
  const left = bytes.length - at
  if (bytes.compare(MARK, 0, Math.min(MARK.length, left), at, at + Math.min(MARK.length, left)) !== 0) return false
  return left < RECORD_HEAD || at + RECORD_HEAD + bytes.readUInt32LE(at + 4) > bytes.length
}
