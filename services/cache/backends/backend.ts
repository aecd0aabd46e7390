import type { Caller } from '../caller.js'
import type { Entry, StoredEntry } from '../entry.js'
import type { Matcher } from '../glob.js'
import type { Claim } from '../in-flight.js'
import type { Invalidation } from '../ledger.js'
import type { LeaseGiver } from '../leases.js'
import type { Limits } from '../limits.js'
import type { Facts, RecordFormat } from '../record-format.js'
import type { BreakerState, BreakerSwitch } from '../breaker.js'
import type { QueueState } from '../turns.js'
import type { SharedBackendName } from './names.js'

export interface ListQuery {
  /** A glob over keys. */
  pattern?: string | undefined
  /** Leaves out every key that it refuses, as if there were none. */
  within?: Matcher | undefined
  limit: number
  /** Entries to pass over; ignored with a cursor. */
  offset?: number | undefined
  /** Where the page before ended. */
  cursor?: string | undefined
}

export interface Listing {
  /** Entries that match, on all pages. */
  total: number
  entries: Entry[]
  /** Where this page ended; undefined on the last one. */
  cursor: string | undefined
}

/** What there is, over one namespace or all. */
export interface Usage { items: number, bytes: number }

/** How a write went: the stamp it got (and the value's length as stored, where that differs), or why it was not made. */
export type WriteOutcome = { stamp: number, existed: boolean, storedLength?: number | undefined } | 'superseded' | 'precondition'

/** A change that another process made. */
export type Change =
  | { kind: 'key', namespace: string, key: string, stamp: number }
  | { kind: 'invalidation', namespace: string, what: Invalidation, stamp: number }

/** An invalidation as the shared backend remembers it. */
export interface InForce { namespace: string, what: Invalidation, stamp: number }

/** What a memory tier needs to hear to stay coherent with the shared backend behind it. */
export interface ChangeListener {
  onChange (change: Change): void
  /** Changes may have been missed. Everything cached before is suspect; the invalidations given are all that are still in force. */
  onResync (inForce: InForce[], stamp: number): void
  /** The lease of a key was given back in another process, and nothing was stored. */
  onRelease (namespace: string, key: string): void
  /** Announcements cannot be relied on from now on. */
  onLost (): void
}

/**
 * A backend outside the process, shared by several. It keeps encoded entries and the order of changes: every write, delete and
 * invalidation gets the next stamp of one counter and is announced to the other processes, in that order.
 *
 * Everything here fails within the backend's deadline: BackendUnavailableError when it is down or hung, BackendFullError when
 * it has no room. What has not been sent when its caller leaves is not sent any more, and fails with the reason of the caller's signal; what has been sent
 * goes on within its deadline.
 */
export interface SharedBackend {
  readonly name: SharedBackendName
  /** How its entries are written, and read. */
  readonly format: RecordFormat

  /** The entry, stale ones included, or undefined. Invalidations are the caller's to check. */
  get (namespace: string, key: string, caller?: Caller): Promise<StoredEntry | undefined>
  getMany (namespace: string, keys: readonly string[], caller?: Caller): Promise<(StoredEntry | undefined)[]>

  /** The stamp that a load beginning now has to remember. */
  stamp (): Promise<number>

  /**
   * Takes hold of a key before a load or a change of the origin begins, where stamps alone do not tell whether it changed since. What
   * it answers with goes to `fill` or `replace`.
   * @param token of a claim that was taken before, maybe by another process: that one is taken up, undefined when it cannot be any more
   */
  claim? (namespace: string, key: string, token?: string): Promise<Claim | undefined>

  /**
   * Stores an entry.
   * @param condition checked and written in one step; its version is the numeric one, NaN for "none that can be"
   */
  set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome>

  /** Stores what a load brought, unless the key was written or deleted since the stamp in the entry. */
  fill (entry: StoredEntry, claim?: Claim): Promise<WriteOutcome>

  /** Stores the result of a change to the origin that began at the entry's stamp; when the key changed meanwhile, deletes it. */
  replace (entry: StoredEntry, claim?: Claim): Promise<WriteOutcome>

  /** Deletes, and keeps loads that are under way from bringing the value back. */
  delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): Promise<WriteOutcome>

  /** Changes when the entry expires. Undefined when there is none. */
  expire (namespace: string, key: string, version: number, expiresAt: number, goneAt: number, caller?: Caller): Promise<WriteOutcome>

  /** Records an invalidation, in force from the moment the promise settles, and answers its stamp. */
  invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<number>

  /** Every invalidation that entries have to be held against. */
  inForce (): Promise<InForce[]>

  /** Forgets an invalidation that no entry and no load can fall to any more, unless it was recorded again since. */
  withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void>

  /** Every entry of a namespace (of all, when undefined) in portions, which may be empty, without the values; an entry may come twice. */
  scan (namespace: string | undefined): AsyncIterable<ScannedEntry[]>

  /** The same in outline, without reading any entry: where the backend has an index. */
  outline? (namespace: string | undefined): AsyncIterable<Outline[]>

  /** Entries that were scanned, with their reads: where those are kept apart and a scan leaves them out. */
  counted? (namespace: string, entries: readonly ScannedEntry[]): Promise<ScannedEntry[]>

  /**
   * Entries of a namespace (of all, when undefined) drawn so that each is about as likely as any other, and what they stand for.
   * Undefined where there are so few that a scan goes through all, or where a scan comes in no order of theirs anyway.
   * @param most entries wanted; there may be more or fewer
   */
  sample? (namespace: string | undefined, most: number): Promise<Drawn | undefined>

  /** A page of a namespace without a look at the pages before it: where the backend keeps entries in an order. */
  page? (namespace: string, query: PageQuery): Promise<Page>

  /**
   * Drops entries that nobody may see any more, if they are still the ones that were scanned. Answers how many went.
   * @param entries the objects that `scan` or `outline` gave
   */
  discard (namespace: string, entries: readonly Pick<ScannedEntry, 'key' | 'version'>[]): Promise<number>

  /** Reports reads, for the entry's own statistics; best effort. */
  recordAccess (namespace: string, key: string, version: number, reads: number, at: number): void

  /** Takes new limits, where the backend keeps to limits of its own; what they have no room for goes. */
  configure? (limits: Limits): void

  /** Entries that this process evicted since the start, where the backend keeps to limits of its own. */
  evictions? (namespace?: string): number

  /** Settles when what limits have no room for is gone, where that takes a while. */
  settled? (): Promise<void>

  /** Entries that were found damaged since the start, where the backend can tell them from those that are not there. */
  damaged? (namespace?: string): number

  /** What there is in a namespace or in all, where that is told without looking at every entry. Undefined where it cannot be. */
  usage? (namespace?: string): Promise<Usage | undefined>

  /**
   * What stands there by the backend's own count, what is expired and not reclaimed yet included; for the metrics, so without looking at any
   * entry. Undefined where nothing counts.
   */
  standing? (): Promise<Usage | undefined>

  /** Reclaims what is expired, where the server does not do it by itself. */
  sweep? (): Promise<void>

  /** Leases that all processes know of. Without, each process has its own. */
  readonly leases?: LeaseGiver

  /** Announces changes from now on, and says whether announcements can be relied on. */
  follow (listener: ChangeListener): Promise<void>
  readonly isFollowing: boolean

  /** Whether the server is left alone for the moment. */
  readonly breaker?: BreakerState
  /** The breaker in front of it, for operators. Absent: there is none. */
  readonly switch?: BreakerSwitch
  /** What waits in this process for the server. Absent: nothing does. */
  readonly queues?: readonly QueueState[]

  close (): Promise<void>
}

/** The numeric form of a Condition. `absentOr` names a version that is as good as absent (it fell to an invalidation). */
export type WriteCondition = { absent: true, absentOr?: number } | { version: number }

/** What is asked of an entry to know whether it may be seen, and what it counts for. */
export type Outline = Pick<Facts, 'namespace' | 'key' | 'tags' | 'stamp' | 'version' | 'expiresAt' | 'goneAt' | 'isUnreadable'> & { readonly size: number }

export interface PageQuery {
  matches: Matcher
  /** Whether callers may see the entry. */
  isVisible: (entry: Omit<Outline, 'size'>) => boolean
  limit: number
  /** Entries to pass over; 0 with a cursor. */
  offset: number
  /** What the page before gave as its cursor. */
  cursor: string | undefined
}

export interface Page {
  /** Entries that match, on all pages. */
  total: number
  /** In an order that does not change while others write: an entry that stays is on one page and on one only. */
  entries: ScannedEntry[]
  /** Where the next page begins, in letters, digits, `-` and `_`; undefined on the last one. */
  cursor: string | undefined
}

/** Entries drawn at random, out of how many, and of how many bytes. */
export interface Drawn { readonly entries: readonly ScannedEntry[], readonly items: number, readonly bytes: number }

/** An entry without its value. */
export type ScannedEntry = Facts & { readonly valueLength: number }

export type { Claim }
