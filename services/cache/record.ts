import { DATA_TYPES, goneBy, NO_TAGS, STRATEGIES, type StoredEntry } from './entry.js'

/**
 * How an entry is stored outside the process: a fixed header, its tags and metadata as JSON, then the value's bytes; `RecordFormat`
 * puts them together. Numbers are little-endian, times are milliseconds on the store's clock, Infinity is "never". What is outside
 * of `fixedParts` may be changed where the record is stored, also when it is sealed.
 *
 * | offset | bytes | |
 * |---|---|---|
 * | 0 | 1 | `L` |
 * | 1 | 1 | format, 1 |
 * | 2 | 1 | 0 an entry, 1 a tombstone (up to the order) |
 * | 3 | 1 | data type |
 * | 4 | 1 | strategy |
 * | 5 | 1 | serialization |
 * | 6 | 1 | compression |
 * | 7 | 1 | encryption |
 * | 8 | 8 | order: the stamp of the write, which later writes of the key are held against |
 * | 16 | 8 | version |
 * | 24 | 8 | created |
 * | 32 | 8 | expires |
 * | 40 | 8 | gone |
 * | 48 | 8 | accessed |
 * | 56 | 4 | reads |
 * | 60 | 4 | length of what follows before the value |
 * | 64 | 8 | stamp: see `StoredEntry` |
 */
export const HEADER_LENGTH = 72
const MAGIC = 0x4c
const FORMAT = 1
const ENTRY = 0
const TOMBSTONE = 1

/** What was done to an entry's bytes, a number each; 0 for nothing. See `codec/`. */
export interface Applied { serialization: number, compression: number, encryption: number }

/**
 * Writes the header of an entry to the start of `record`.
 * @param extrasLength of the tags and metadata as they are stored
 * @param skew milliseconds that the store's clock is ahead of ours
 */
export function writeHeader (record: Buffer, entry: StoredEntry, applied: Applied, extrasLength: number, skew: number): void {
  record[0] = MAGIC
  record[1] = FORMAT
  record[2] = ENTRY
  record[3] = DATA_TYPES.indexOf(entry.dataType)
  record[4] = STRATEGIES.indexOf(entry.strategy)
  record[5] = applied.serialization
  record[6] = applied.compression
  record[7] = applied.encryption
  record.writeDoubleLE(entry.stamp, 8)
  record.writeDoubleLE(entry.version, 16)
  record.writeDoubleLE(entry.createdAt + skew, 24)
  record.writeDoubleLE(entry.expiresAt + skew, 32)
  record.writeDoubleLE(goneBy(entry.goneAt, skew), 40)
  record.writeDoubleLE(entry.accessedAt + skew, 48)
  record.writeUInt32LE(entry.accessCount, 56)
  record.writeUInt32LE(extrasLength, 60)
  record.writeDoubleLE(entry.stamp, 64)
}

/** What was done to the entry in a record. */
export function appliedTo (record: Buffer): Applied {
  return { serialization: record[5] as number, compression: record[6] as number, encryption: record[7] as number }
}

/** The parts of a header that never change once it is written: format, data type, strategy, what was applied, version, creation, lengths. */
export function fixedParts (record: Buffer): Buffer {
  return Buffer.concat([record.subarray(0, 8), record.subarray(16, 32), record.subarray(60, 64)])
}

/** The version in a header, also of an entry that cannot be read; undefined for what is too short for one. */
export const versionIn = (record: Buffer): number | undefined => record.length < HEADER_LENGTH ? undefined : record.readDoubleLE(16)

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

/** What a header tells of its entry; undefined when it was damaged. */
export function readHeader (namespace: string, key: string, record: Buffer, skew: number): Omit<StoredEntry, 'value'> | undefined {
  const dataType = DATA_TYPES[record[3] as number]
  const strategy = STRATEGIES[record[4] as number]
  if (dataType === undefined || strategy === undefined || !isSound(record)) return undefined
  return {
    namespace,
    key,
    dataType,
    strategy,
    tags: NO_TAGS,
    metadata: undefined,
    stamp: record.readDoubleLE(64),
    version: record.readDoubleLE(16),
    createdAt: record.readDoubleLE(24) - skew,
    expiresAt: record.readDoubleLE(32) - skew,
    goneAt: goneBy(record.readDoubleLE(40), -skew),
    accessedAt: record.readDoubleLE(48) - skew,
    accessCount: record.readUInt32LE(56)
  }
}

/** The longest time from the epoch that a date can have, in milliseconds. */
const LONGEST_TIME = 8.64e15

/** Whether the numbers are such as are written: what was damaged may hold any, also some that are no date. */
function isSound (record: Buffer): boolean {
  const [stamp, version, created, expires, gone, accessed] = [64, 16, 24, 32, 40, 48].map((at) => record.readDoubleLE(at)) as [number, number, number, number, number, number]
  return Number.isFinite(stamp) && Number.isSafeInteger(version) && !Number.isNaN(expires) && !Number.isNaN(gone) &&
    Math.abs(created) < LONGEST_TIME && Math.abs(accessed) < LONGEST_TIME
}

/** Tags and metadata as text, empty for none. */
export function extrasText ({ tags, metadata }: Pick<StoredEntry, 'tags' | 'metadata'>): string {
  return tags.length === 0 && metadata === undefined ? '' : JSON.stringify({ t: tags.length === 0 ? undefined : tags, m: metadata })
}

/** The same back; undefined when the text was damaged. */
export function parseExtras (text: string): Pick<StoredEntry, 'tags' | 'metadata'> | undefined {
  try {
    const { t = NO_TAGS, m } = JSON.parse(text) as { t?: string[], m?: string }
    const isSound = Array.isArray(t) && t.every((tag) => typeof tag === 'string') && (m === undefined || typeof m === 'string')
    return isSound ? { tags: t, metadata: m } : undefined
  } catch {
    return undefined
  }
}

const isEntry = (record: Buffer): boolean =>
  record.length >= HEADER_LENGTH && record[0] === MAGIC && record[1] === FORMAT && record[2] === ENTRY
