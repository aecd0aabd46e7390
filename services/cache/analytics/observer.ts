import type { Entry, StoredEntry } from '../entry.js'
import type { Invalidation } from '../ledger.js'

/** What both kinds of entry tell an observer. */
export type Observed = Pick<Entry | StoredEntry, 'namespace' | 'key' | 'value' | 'tags' | 'metadata' | 'createdAt' | 'expiresAt'>

/**
 * Is told what happens to a cache, synchronously and on the hot path: every method is quick, and none throws. What it is given is
 * only good until it returns, and of values nothing but the length is its business.
 */
export interface Observer {
  /** A read found the entry. */
  hit (entry: Observed): void
  /** A read found none. */
  miss (namespace: string, key: string): void
  /** The entry was stored. */
  written (entry: Observed): void
  /** The entry was given another time to live. */
  touched (entry: Observed): void
  deleted (namespace: string, key: string): void
  invalidated (namespace: string, what: Invalidation): void
}
