import { decode } from './encoding.js'
import type { EncodedValue, Entry, StoredEntry } from './entry.js'
import { formatVersion } from './version.js'

/**
 * What a read-through brought, in the words of RFC 9211:
 * `hit` a fresh value was there · `stale` an old one is served because a new one could not be had (in time) ·
 * `miss` it was loaded for this call · `coalesced` it was loaded for another call, which this one waited for ·
 * `bypass` it was loaded because the caller wanted to go past the cache.
 */
export type ReadingStatus = 'hit' | 'stale' | 'miss' | 'coalesced' | 'bypass'

/** The answer of a read-through: the value as ready bytes, and what happened. */
export class Reading<T> {
  readonly status: ReadingStatus
  /** Whether the value is in the cache now. */
  readonly stored: boolean
  readonly encoded: EncodedValue
  readonly version: string
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Milliseconds since the epoch, Infinity when never. */
  readonly expiresAt: number
  /** Seconds since the value was loaded. */
  readonly age: number
  /** Seconds until it goes stale; negative when it is, Infinity when it never does. */
  readonly ttl: number

  constructor (entry: Entry | StoredEntry, status: ReadingStatus, stored: boolean, now: number) {
    this.status = status
    this.stored = stored
    this.encoded = entry.value
    this.version = typeof entry.version === 'string' ? entry.version : formatVersion(entry.version)
    this.createdAt = entry.createdAt
    this.expiresAt = entry.expiresAt
    this.age = Math.max(0, (now - entry.createdAt) / 1000)
    this.ttl = (entry.expiresAt - now) / 1000
  }

  /** A copy of the value of the caller's own. */
  get value (): T { return decode(this.encoded) as T }
}
