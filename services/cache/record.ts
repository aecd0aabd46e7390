import { encodeBytes } from './encoding.js'
import { DATA_TYPES, NO_TAGS, STRATEGIES, type StoredEntry } from './entry.js'

/**
 * How an entry is stored outside the process: a fixed header, its tags and metadata as JSON, then the value's bytes. Numbers are
 * little-endian, times are milliseconds on the store's clock, Infinity is "never".
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 1 | `L` |
 * | 1 | 1 | format, 1 |
 * | 2 | 1 | 0 an entry, 1 a tombstone (up to the order) |
 * | 3 | 1 | data type |
 * | 4 | 1 | strategy |
 * | 5 | 3 | reserved |
 * | 8 | 8 | order: the stamp of the write, which later writes of the key are held against |
 * | 16 | 8 | version |
 * | 24 | 8 | created |
 * | 32 | 8 | expires |
 * | 40 | 8 | gone |
 * | 48 | 8 | accessed |
 * | 56 | 4 | reads |
 * | 60 | 4 | length of the JSON that follows |
 * | 64 | 8 | stamp: see `StoredEntry` |
 */
export const HEADER_LENGTH = 72
const MAGIC = 0x4c
const FORMAT = 1
const ENTRY = 0
const TOMBSTONE = 1

/** @param skew milliseconds that the store's clock is ahead of ours */
export function packRecord (entry: StoredEntry, skew: number): Buffer {
  const extras = entry.tags.length === 0 && entry.metadata === undefined
    ? ''
    : JSON.stringify({ t: entry.tags.length === 0 ? undefined : entry.tags, m: entry.metadata })
  const extrasLength = Buffer.byteLength(extras)
  const record = Buffer.allocUnsafe(HEADER_LENGTH + extrasLength + entry.value.length)
  record[0] = MAGIC
  record[1] = FORMAT
  record[2] = ENTRY
  record[3] = DATA_TYPES.indexOf(entry.dataType)
  record[4] = STRATEGIES.indexOf(entry.strategy)
  record.fill(0, 5, 8)
  record.writeDoubleLE(entry.stamp, 8)
  record.writeDoubleLE(entry.version, 16)
  record.writeDoubleLE(entry.createdAt + skew, 24)
  record.writeDoubleLE(entry.expiresAt + skew, 32)
  record.writeDoubleLE(entry.goneAt + skew, 40)
  record.writeDoubleLE(entry.accessedAt + skew, 48)
  record.writeUInt32LE(entry.accessCount, 56)
  record.writeUInt32LE(extrasLength, 60)
  record.writeDoubleLE(entry.stamp, 64)
  record.write(extras, HEADER_LENGTH)
  if (typeof entry.value === 'string') record.write(entry.value, HEADER_LENGTH + extrasLength)
  else entry.value.copy(record, HEADER_LENGTH + extrasLength)
  return record
}

/** Marks a key as deleted at a stamp, so that a load which began before cannot bring its value back. */
export function packTombstone (): Buffer {
  const record = Buffer.alloc(24)
  record[0] = MAGIC
  record[1] = FORMAT
  record[2] = TOMBSTONE
  return record
}

/** How many bytes from the start hold everything but the value; undefined when `record` holds no entry. */
export function prefixLength (record: Buffer): number | undefined {
  return isEntry(record) ? HEADER_LENGTH + record.readUInt32LE(60) : undefined
}

/** The entry in a record; undefined for a tombstone, and for bytes that are no record of ours. */
export function unpackRecord (namespace: string, key: string, record: Buffer, skew: number): StoredEntry | undefined {
  const start = prefixLength(record)
  if (start === undefined || start > record.length) return undefined
  const facts = unpackFacts(namespace, key, record, skew)
  return facts === undefined ? undefined : { ...facts, value: encodeBytes(record.subarray(start)) }
}

/** The same without the value, from the start of a record. */
export function unpackFacts (namespace: string, key: string, record: Buffer, skew: number): Omit<StoredEntry, 'value'> | undefined {
  const start = prefixLength(record)
  const dataType = DATA_TYPES[record[3] as number]
  const strategy = STRATEGIES[record[4] as number]
  if (start === undefined || start > record.length || dataType === undefined || strategy === undefined) return undefined
  let tags = NO_TAGS
  let metadata: string | undefined
  if (start > HEADER_LENGTH) {
    const extras = parseExtras(record.toString('utf8', HEADER_LENGTH, start))
    if (extras === undefined) return undefined
    tags = extras.t ?? NO_TAGS
    metadata = extras.m
  }
  return {
    namespace,
    key,
    dataType,
    strategy,
    tags,
    metadata,
    stamp: record.readDoubleLE(64),
    version: record.readDoubleLE(16),
    createdAt: record.readDoubleLE(24) - skew,
    expiresAt: record.readDoubleLE(32) - skew,
    goneAt: record.readDoubleLE(40) - skew,
    accessedAt: record.readDoubleLE(48) - skew,
    accessCount: record.readUInt32LE(56)
  }
}

/** Undefined when the text was damaged. */
function parseExtras (text: string): { t?: string[], m?: string } | undefined {
  try {
    const extras = JSON.parse(text) as { t?: string[], m?: string }
    const { t = [], m = '' } = extras
    return Array.isArray(t) && t.every((tag) => typeof tag === 'string') && typeof m === 'string' ? extras : undefined
  } catch {
    return undefined
  }
}

const isEntry = (record: Buffer): boolean =>
  record.length >= HEADER_LENGTH && record[0] === MAGIC && record[1] === FORMAT && record[2] === ENTRY
