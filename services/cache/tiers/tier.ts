import type { ScannedEntry } from '../backends/backend.js'
import type { StoredEntry } from '../entry.js'
import type { BreakerState } from '../breaker.js'

/** Where durable entries are kept, by the words of the settings. */
export type DurableTierName = 'database' | 'file'

/** A change of one key, with its number: a lower one than what the key has already changes nothing. */
export interface DurableWrite {
  readonly namespace: string
  readonly key: string
  readonly seq: number
  /** Undefined deletes. */
  readonly entry: StoredEntry | undefined
}

/** An entry without its value, and the number of the write that it came with. */
export type DurableFacts = ScannedEntry & { readonly seq: number }

/**
 * Entries that outlive the process and the crash of whatever keeps them. One process owns what it has; the order of changes and
 * everything that can be asked for beyond a key is that process's matter. It has no limits of its own.
 *
 * Everything here fails within a deadline: BackendUnavailableError when the tier is down or hung, BackendFullError when it has no room.
 */
export interface DurableTier {
  readonly name: DurableTierName
  /** Whether it is left alone for the moment. */
  readonly breaker: BreakerState | undefined

  /** The entries as they were written, expired ones included; undefined where there is none. */
  getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]>

  /** All of the writes, or none; no key twice. They are on disk when the promise settles. */
  write (writes: readonly DurableWrite[]): Promise<void>

  /** Drops entries if they are still the ones that were scanned. */
  drop (entries: readonly DurableFacts[]): Promise<void>

  /** Every entry of a namespace (of all, when undefined) in portions; an entry may come twice. */
  scan (namespace: string | undefined): AsyncIterable<DurableFacts[]>

  /**
   * Reclaims what is expired and what is left of deletions.
   * @param before the number of the oldest write that may yet be played again: what is newer has to stay to be held against it
   */
  sweep (before: number): Promise<void>

  close (): Promise<void>
}

/** How long what is left of a deletion stays at least, in milliseconds: longer than a statement can be under way. */
export const TOMBSTONE_LIFETIME = 120_000
