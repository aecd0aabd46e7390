import { crc32c, storedChecksum } from './crc32c.js'
import { Fields, MalformedError } from './fields.js'
import { PUT, type Version } from './versions.js'

/*
 * LevelDB's logs, of changes and of its own state (`doc/log_format.md` of LevelDB): blocks of 32 KiB with fragments of records, each with
 * its checksum (4 bytes), length (2) and kind (1) before it; a fragment that finds less than that room begins the next block.
 */
const BLOCK = 32_768
const HEADER = 7
const FULL = 1
const FIRST = 2
const LAST = 4

export interface LogRecords {
  /** Those that are whole, in their order. */
  records: Buffer[]
  /**
   * Whether something is missing besides a last record that was still being written when the process ended, which LevelDB passes
   * over as well.
   */
  isDamaged: boolean
}

/** Reads a log to its end. */
export function readLog (bytes: Buffer): LogRecords {
  const records: Buffer[] = []
  let isDamaged = false
  /** Of the record that is under way. */
  let fragments: Buffer[] | undefined
  for (let start = 0; start < bytes.length; start += BLOCK) {
    const end = Math.min(start + BLOCK, bytes.length)
    let at = start
    while (at + HEADER <= end) {
      const fragment = fragmentAt(bytes, at, end)
      if (fragment === undefined) {
        if (isTorn(bytes, at, end)) return { records, isDamaged }
        isDamaged = true
        fragments = undefined
        // A length that cannot be trusted tells of nothing else in this block.
        break
      }
      const { kind, content } = fragment
      at += HEADER + content.length
      const isFirst = kind === FULL || kind === FIRST
      if (isFirst !== (fragments === undefined)) isDamaged = true
      if (isFirst) fragments = []
      fragments?.push(content)
      if (kind !== FULL && kind !== LAST) continue
      if (fragments !== undefined) records.push(fragments.length === 1 ? content : Buffer.concat(fragments))
      fragments = undefined
    }
  }
  return { records, isDamaged }
}

/** Undefined for one that is not whole. */
function fragmentAt (bytes: Buffer, at: number, end: number): { kind: number, content: Buffer } | undefined {
  const next = at + HEADER + bytes.readUInt16LE(at + 4)
  const kind = bytes[at + 6] as number
  if (next > end || kind < FULL || kind > LAST || crc32c(bytes, at + 6, next) !== storedChecksum(bytes, at)) return undefined
  return { kind, content: bytes.subarray(at + HEADER, next) }
}

/**
 * Whether a fragment that is not whole was still being written: the file ends before the fragment does, or holds nothing from it on (space
 * that was given out, and not written, before the power went). One that is whole but for its length was not.
 */
function isTorn (bytes: Buffer, at: number, end: number): boolean {
  if (bytes.subarray(at).every((byte) => byte === 0)) return true
  if (end < bytes.length || at + HEADER + bytes.readUInt16LE(at + 4) <= end) return false
  const expected = storedChecksum(bytes, at)
  let crc = crc32c(bytes, at + 6, at + HEADER)
  for (let next = at + HEADER; ; next++) {
    if (crc === expected) return false
    if (next === end) return true
    crc = crc32c(bytes, next, next + 1, crc)
  }
}

/** The changes in a record of a log of changes: `db/write_batch.cc` of LevelDB. Undefined for what is none. */
export function changesIn (record: Buffer): Version[] | undefined {
  try {
    return parsed(new Fields(record))
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
}

function parsed (fields: Fields): Version[] {
  const low = fields.little(4)
  const first = fields.little(4) * 2 ** 32 + low
  const versions: Version[] = []
  for (let count = fields.little(4); count > 0; count--) {
    const kind = fields.byte()
    if (kind > PUT) throw new MalformedError('a change')
    const key = fields.slice()
    versions.push({ key, sequence: first + versions.length, value: kind === PUT ? fields.slice() : undefined })
  }
  return versions
}
