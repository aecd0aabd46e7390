import { decode } from './encoding.js'
import type { EncodedValue, StoredEntry } from './entry.js'
import { formatVersion } from './version.js'

/**
 * What a read-through brought, in the words of RFC 9211:
 * `hit` a fresh value was there · `stale` an old one is served because a new one could not be had (in time) ·
 * `miss` it was loaded for this call · `coalesced` it was loaded for another call, which this one waited for ·
 * `bypass` it was loaded because the caller wanted to go past the cache · `fallback` it could not be loaded, and the caller had said
 * what to take instead.
 */
export type ReadingStatus = 'hit' | 'stale' | 'miss' | 'coalesced' | 'bypass' | 'fallback'

/** Where a value came from: this process's memory, the backend that processes share, or the loader. */
export type Tier = 'memory' | 'shared' | 'origin'

/** What a reading tells of an entry. */
export type Content = Pick<StoredEntry, 'value' | 'version' | 'createdAt' | 'expiresAt'>

/** The answer of a read-through: the value as ready bytes, and what happened. */
export class Reading<T> {
  readonly status: ReadingStatus
  /** Whether the value is in the cache now. */
  readonly stored: boolean
  readonly tier: Tier
  /** Milliseconds that the load took which this call made or waited for; undefined when it did neither. */
  readonly loadTime: number | undefined
  readonly encoded: EncodedValue
  /** Whether it was loaded past a shared backend that did not answer. */
  readonly isAway: boolean
  #content: Content
  #now: number

  constructor (content: Content, status: ReadingStatus, stored: boolean, now: number, tier: Tier, loadTime?: number, isAway = false) {
    this.status = status
    this.stored = stored
    this.tier = tier
    this.loadTime = loadTime
    this.encoded = content.value
    this.isAway = isAway
    this.#content = content
    this.#now = now
  }

  get version (): string { return formatVersion(this.#content.version) }
  /** Milliseconds since the epoch. */
  get createdAt (): number { return this.#content.createdAt }
  /** Milliseconds since the epoch, Infinity when never. */
  get expiresAt (): number { return this.#content.expiresAt }
  /** Seconds since the value was loaded. */
  get age (): number { return Math.max(0, (this.#now - this.createdAt) / 1000) }
  /** Seconds until it goes stale; negative when it is, Infinity when it never does. */
  get ttl (): number { return (this.expiresAt - this.#now) / 1000 }
  /** A copy of the value of the caller's own. */
  get value (): T { return decode(this.encoded) as T }
}
