import { crc32 } from 'node:zlib'
import { STRATEGIES, type Strategy } from '../../entry.js'

/*
 * What stands in the rows. Each begins with a checksum over its key and all that follows, so that neither a damaged row nor one
 * under another's key is taken for an entry. Numbers are little-endian, times are milliseconds of the wall clock.
 *
 * entry     0 checksum · 4 format · 5 strategy · 6 flags · 8 version · 16 stamp · 24 order · 32 expires · 40 gone · 48 accessed ·
 *           56 used · 64 reads · 68 uses · 72 length of the head · 76 length of the value · 80 head (see `record.ts`), then the value
 *           unless it is kept apart
 * value     0 checksum · 4 format · 8 version · 16 the value
 * amendment 0 checksum · 4 format · 8 version · 16 expires · 24 gone · 32 accessed · 40 used · 48 reads · 52 uses
 * other     0 checksum · 4 format · 8 a number
 */
const FORMAT = 1
const ENTRY_HEADER = 80
const VALUE_HEADER = 16
const AMENDMENT = 56
const APART = 1

/** Values up to this many bytes stand in the row of their entry; larger ones apart, so that listing does not read them. */
const INLINE = 1024

/** What may change of an entry while its value stays. */
export interface Amendment {
  readonly version: number
  readonly expiresAt: number
  readonly goneAt: number
  readonly accessedAt: number
  /** The place of the last use in the order of all uses. */
  readonly used: number
  readonly reads: number
  /** Uses since the key came in: reads and writes. */
  readonly uses: number
}

/** What a row tells of an entry besides the record. */
export interface EntryRow extends Amendment {
  readonly strategy: Strategy
  readonly stamp: number
  /** The stamp of the write, which later writes of the key are held against. */
  readonly order: number
}

/** An entry as it was read. */
export interface ReadRow extends EntryRow {
  readonly head: Buffer
  /** Undefined when it is kept apart. */
  readonly value: Buffer | undefined
  readonly valueLength: number
}

export const isKeptApart = (valueLength: number): boolean => valueLength > INLINE

/** @param record the head, and the value behind it */
export function packEntry (rowKey: Buffer, row: EntryRow, record: Buffer, headLength: number): Buffer {
  const valueLength = record.length - headLength
  const apart = isKeptApart(valueLength)
  const stored = apart ? record.subarray(0, headLength) : record
  const bytes = Buffer.allocUnsafe(ENTRY_HEADER + stored.length)
  bytes[4] = FORMAT
  bytes[5] = STRATEGIES.indexOf(row.strategy)
  bytes[6] = apart ? APART : 0
  bytes[7] = 0
  bytes.writeDoubleLE(row.version, 8)
  bytes.writeDoubleLE(row.stamp, 16)
  bytes.writeDoubleLE(row.order, 24)
  bytes.writeDoubleLE(row.expiresAt, 32)
  bytes.writeDoubleLE(row.goneAt, 40)
  bytes.writeDoubleLE(row.accessedAt, 48)
  bytes.writeDoubleLE(row.used, 56)
  bytes.writeUInt32LE(row.reads, 64)
  bytes.writeUInt32LE(row.uses, 68)
  bytes.writeUInt32LE(headLength, 72)
  bytes.writeUInt32LE(valueLength, 76)
  stored.copy(bytes, ENTRY_HEADER)
  return sealed(rowKey, bytes)
}

/** Undefined for what is damaged. */
export function unpackEntry (rowKey: Buffer, bytes: Buffer): ReadRow | undefined {
  const strategy = STRATEGIES[bytes[5] as number]
  if (!isSound(rowKey, bytes, ENTRY_HEADER) || strategy === undefined) return undefined
  const headEnd = ENTRY_HEADER + bytes.readUInt32LE(72)
  return {
    strategy,
    version: bytes.readDoubleLE(8),
    stamp: bytes.readDoubleLE(16),
    order: bytes.readDoubleLE(24),
    expiresAt: bytes.readDoubleLE(32),
    goneAt: bytes.readDoubleLE(40),
    accessedAt: bytes.readDoubleLE(48),
    used: bytes.readDoubleLE(56),
    reads: bytes.readUInt32LE(64),
    uses: bytes.readUInt32LE(68),
    head: bytes.subarray(ENTRY_HEADER, headEnd),
    value: bytes[6] === APART ? undefined : bytes.subarray(headEnd),
    valueLength: bytes.readUInt32LE(76)
  }
}

export function packValue (rowKey: Buffer, version: number, value: Buffer): Buffer {
  const bytes = Buffer.allocUnsafe(VALUE_HEADER + value.length)
  bytes.writeDoubleLE(version, 8)
  value.copy(bytes, VALUE_HEADER)
  return sealed(rowKey, plain(bytes))
}

/** Undefined for what is damaged, or of another version. */
export function unpackValue (rowKey: Buffer, version: number, bytes: Buffer): Buffer | undefined {
  if (!isSound(rowKey, bytes, VALUE_HEADER) || bytes.readDoubleLE(8) !== version) return undefined
  return bytes.subarray(VALUE_HEADER)
}

export function packAmendment (rowKey: Buffer, { version, expiresAt, goneAt, accessedAt, used, reads, uses }: Amendment): Buffer {
  const bytes = Buffer.allocUnsafe(AMENDMENT)
  bytes.writeDoubleLE(version, 8)
  bytes.writeDoubleLE(expiresAt, 16)
  bytes.writeDoubleLE(goneAt, 24)
  bytes.writeDoubleLE(accessedAt, 32)
  bytes.writeDoubleLE(used, 40)
  bytes.writeUInt32LE(reads, 48)
  bytes.writeUInt32LE(uses, 52)
  return sealed(rowKey, plain(bytes))
}

/** Undefined for what is damaged. */
export function unpackAmendment (rowKey: Buffer, bytes: Buffer): Amendment | undefined {
  if (!isSound(rowKey, bytes, AMENDMENT)) return undefined
  return {
    version: bytes.readDoubleLE(8),
    expiresAt: bytes.readDoubleLE(16),
    goneAt: bytes.readDoubleLE(24),
    accessedAt: bytes.readDoubleLE(32),
    used: bytes.readDoubleLE(40),
    reads: bytes.readUInt32LE(48),
    uses: bytes.readUInt32LE(52)
  }
}

export function packNumber (rowKey: Buffer, value: number): Buffer {
  const bytes = Buffer.allocUnsafe(16)
  bytes.writeDoubleLE(value, 8)
  return sealed(rowKey, plain(bytes))
}

/** Undefined for what is damaged. */
export function unpackNumber (rowKey: Buffer, bytes: Buffer): number | undefined {
  return isSound(rowKey, bytes, 16) ? bytes.readDoubleLE(8) : undefined
}

function plain (bytes: Buffer): Buffer {
  bytes.fill(0, 4, 8)
  bytes[4] = FORMAT
  return bytes
}

function sealed (rowKey: Buffer, bytes: Buffer): Buffer {
  bytes.writeUInt32LE(checksum(rowKey, bytes), 0)
  return bytes
}

const isSound = (rowKey: Buffer, bytes: Buffer, least: number): boolean =>
  bytes.length >= least && bytes[4] === FORMAT && bytes.readUInt32LE(0) === checksum(rowKey, bytes)

const checksum = (rowKey: Buffer, bytes: Buffer): number => crc32(bytes.subarray(4), crc32(rowKey))
