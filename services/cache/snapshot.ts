import { type Entry, sizeOf, type StoredEntry } from './entry.js'
import { formatVersion } from './version.js'

/** An entry as callers get it. */
export const snapshot = (entry: StoredEntry): Entry => snapshotOf(entry, entry.storedLength)

/** The same with a length as it is stored. Named one by one: an object made by spreading another costs a microsecond more. */
export function snapshotOf (entry: StoredEntry, storedLength: number | undefined): Entry {
  const { namespace, key, value, dataType, tags, metadata, strategy, createdAt, accessedAt, accessCount, expiresAt, goneAt } = entry
  const version = formatVersion(entry.version)
  const size = sizeOf(key, storedLength === undefined ? value : { length: storedLength }, tags, metadata)
  return { namespace, key, value, dataType, tags, metadata, strategy, createdAt, accessedAt, accessCount, expiresAt, goneAt, version, size }
}
