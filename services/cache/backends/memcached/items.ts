import { prefixLength } from '../../record.js'
import type { Item } from './client.js'
import type { ItemName } from './names.js'

/** The value of a record's item: the record, behind its key where the name does not tell it. The number stored with it is the key's length. */
export function frame (name: ItemName, key: string, record: Buffer): { value: Buffer, flags: number } {
  if (!name.isHashed) return { value: record, flags: 0 }
  // JSON escapes what UTF-8 cannot hold.
  const text = Buffer.from(JSON.stringify(key))
  return { value: Buffer.concat([text, record]), flags: text.length }
}

/** The key and the record in such a value; the key is undefined where the name tells it. Undefined for what holds no entry. */
export function unframe ({ value, flags }: Item): { key: string | undefined, record: Buffer } | undefined {
  if (value === undefined || flags > value.length) return undefined
  const record = value.subarray(flags)
  const length = prefixLength(record)
  if (length === undefined || length > record.length) return undefined
  return { key: flags === 0 ? undefined : keyIn(value.subarray(0, flags)), record }
}

function keyIn (text: Buffer): string {
  try {
    return String(JSON.parse(text.toString()))
  } catch {
    return '' // no key is empty
  }
}

/** Reads of an entry, in an item of their own: they change more often than the entry, and changing that would cost its loads their claims. */
export interface CountedReads { version: number, reads: number, at: number }

const READS_LENGTH = 24

export function packReads ({ version, reads, at }: CountedReads): Buffer {
  const bytes = Buffer.alloc(READS_LENGTH)
  bytes.writeDoubleLE(version, 0)
  bytes.writeDoubleLE(reads, 8)
  bytes.writeDoubleLE(at, 16)
  return bytes
}

export function unpackReads (item: Item | undefined): CountedReads | undefined {
  const bytes = item?.value
  if (bytes?.length !== READS_LENGTH) return undefined
  return { version: bytes.readDoubleLE(0), reads: bytes.readDoubleLE(8), at: bytes.readDoubleLE(16) }
}
