import type { Drawn, ListQuery, Listing, ScannedEntry, Usage, WriteCondition, WriteOutcome } from '../backends/backend.js'
import type { BackendName } from '../backends/names.js'
import type { MemoryBackend } from '../backends/memory.js'
import type { Caller } from '../caller.js'
import type { StoredEntry } from '../entry.js'
import type { Matcher } from '../glob.js'
import type { Claim, Operation } from '../in-flight.js'
import type { Fallen, Invalidation } from '../ledger.js'
import type { Leases } from '../leases.js'
import type { Limits } from '../limits.js'
import type { RecordFormat } from '../record-format.js'
import type { BreakerState } from '../breaker.js'
import type { Wakeups } from '../wakeups.js'

/** A value, or the promise of one. What is in memory is answered without a promise. */
export type MaybePromise<T> = T | Promise<T>

/**
 * Where a cache keeps its entries: memory alone (`LocalStore`), or memory in front of a shared backend (`SharedStore`). It owns
 * the order of things: which write came last, which load began too early for its value to be kept.
 */
export interface Store {
  readonly name: BackendName
  readonly memory: MemoryBackend
  /** Whether what is in memory may be answered with. */
  readonly isTrusted: boolean
  /** How entries are written outside the process; undefined where none are. */
  readonly format?: RecordFormat
  /** Whether the shared backend is left alone for the moment; undefined where there is nothing to leave alone. */
  readonly breaker?: BreakerState | undefined
  readonly leases: Leases
  /** Rung when a key was written or deleted, here or elsewhere, and when its lease was given back. */
  readonly wakeups: Wakeups

  /** The entry from behind the memory tier, stale ones included. */
  fetch (namespace: string, key: string, caller?: Caller): MaybePromise<StoredEntry | undefined>
  fetchMany (namespace: string, keys: readonly string[], caller?: Caller): MaybePromise<(StoredEntry | undefined)[]>
  /** The entry as it is now, past a memory tier that may lag behind. */
  latest (namespace: string, key: string, caller?: Caller): MaybePromise<StoredEntry | undefined>

  /** Marks the start of a load or of a change to the origin; `end` must follow. An outage is no error: see `Operation.isOrdered`. */
  begin (namespace: string, key: string): MaybePromise<Operation>
  /** The same from a stamp on that a lease was given at, with its claim; from none (undefined), what it brings is not kept. */
  resume (namespace: string, key: string, stamp: number | undefined, claim?: Claim): Operation
  end (operation: Operation): void
  /**
   * Whether what the operation brings may be given to someone who asks now: nothing has concerned the key since it began.
   * `tags` undefined when they are not known yet: then an invalidation of any tag counts.
   */
  isCurrent (operation: Operation, namespace: string, key: string, tags: readonly string[] | undefined): boolean
  /** The same with regard to invalidations alone. */
  isTrueSince (stamp: number, namespace: string, key: string, tags: readonly string[] | undefined): boolean

  set (entry: StoredEntry, condition?: WriteCondition, caller?: Caller): MaybePromise<WriteOutcome>
  /** Keeps what a load brought, unless the key changed since it began. */
  fill (operation: Operation, entry: StoredEntry): MaybePromise<WriteOutcome>
  /** Keeps the result of a change to the origin; when the key changed meanwhile, keeps nothing. */
  replace (operation: Operation, entry: StoredEntry): MaybePromise<WriteOutcome>
  delete (namespace: string, key: string, condition?: WriteCondition, caller?: Caller): MaybePromise<WriteOutcome>
  /** Deletes even if the shared backend cannot be told now: until it is, this process answers with nothing it holds of the key. */
  forget (namespace: string, key: string): Promise<void>
  expire (entry: StoredEntry, expiresAt: number, goneAt: number, caller?: Caller): MaybePromise<WriteOutcome>
  /** A read was answered from the memory tier. */
  noteRead (entry: { namespace: string, key: string, accessedAt: number }, version: number): void

  /** In force when the promise settles; answers what fell to it, as far as that was counted in bounded time. Where its caller left while it was counted, it is in force. */
  invalidate (namespace: string, what: Invalidation, caller?: Caller): Promise<Fallen>
  /** The same even if the shared backend cannot be told now. Nothing is counted. */
  outdate (namespace: string, what: Invalidation): Promise<void>

  list (namespace: string, query: ListQuery, caller?: Caller): Promise<Listing>
  /** Every fresh entry of a namespace (of all, when undefined) whose key matches, in portions; reads nothing ahead, counts and touches nothing. */
  dump (namespace: string | undefined, matches: Matcher, caller?: Caller): AsyncIterable<StoredEntry[]>
  /** The same of one namespace by what invalidations look at, whatever the values are; an entry may come twice. */
  outlines (namespace: string): AsyncIterable<readonly Pick<StoredEntry, 'key' | 'tags' | 'expiresAt' | 'goneAt'>[]>
  usage (namespace?: string, caller?: Caller): Promise<Usage>
  /** The same of the shared backend, by its own count: see `SharedBackend.standing`. Undefined where nothing counts. */
  standing? (): Promise<Usage | undefined>
  configure (limits: Limits): void
  /** Settles when what the limits have no room for is gone. */
  settled (): Promise<void>
  /** Entries that limits of the shared backend evicted since the start; undefined where it has none of its own. */
  evictions? (namespace?: string): number | undefined
  /** Entries that the shared backend found damaged since the start; undefined where it cannot tell. */
  damaged? (namespace?: string): number | undefined
  /** Entries of the shared backend drawn at random: see `SharedBackend.sample`. */
  sample? (namespace: string | undefined, most: number): Promise<Drawn | undefined>
  /** What stands in the shared backend, in portions and without the values; an entry may come twice. Undefined where there is none. */
  scan? (namespace: string | undefined): AsyncIterable<ScannedEntry[]>
  /** A pass that reclaims what nobody may see any more. */
  clean (): Promise<void>
  close (): Promise<void>
}

export type { ListQuery, Listing, ScannedEntry, Usage, WriteCondition, WriteOutcome }
