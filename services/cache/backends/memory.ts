import type { Now } from '../clock.js'
import type { DecodedValues } from '../decoded.js'
import { DATA_TYPES, type DataType, type Entry, sizeOf, type StoredEntry } from '../entry.js'
import type { Matcher } from '../glob.js'
import type { Ledger } from '../ledger.js'
import type { Limits, Quota } from '../limits.js'
import { sampleKey } from '../policies/hash.js'
import { checkQuotas } from '../quotas.js'
import type { Content } from '../reading.js'
import { CountersByNamespace } from '../statistics.js'
import type { ListQuery, Listing } from './backend.js'
import { Holdings, LARGEST, type MemoryCounters } from './memory/holdings.js'
import { COUNTED, list } from './memory/listing.js'
import { Passes } from './memory/passes.js'
import type { RecentKeys } from './memory/recent-keys.js'
import { Settlement } from './memory/settlement.js'
import { NOT_USED, type Slots } from './memory/slots.js'
import type { Space, Spaces } from './memory/spaces.js'
import { Standing } from './memory/standing.js'

/** Slots of a portion, and about the bytes of the entries in one. */
const PORTION = 256
const PORTION_BYTES = 256 * 1024

export interface MemoryOptions {
  now: Now
  limits: Limits
  /** The invalidations that entries are held against. */
  ledger: Ledger
}

/** What a look at every entry tells of one. */
export interface VisitedEntry {
  readonly namespace: string
  readonly key: string
  readonly dataType: DataType
  /** Bytes counted against `max_memory`. */
  readonly size: number
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  /** Milliseconds since the epoch, Infinity when never. */
  readonly expiresAt: number
  readonly accessCount: number
}

/**
 * Entries in this process, bounded by count and by bytes at every moment. All reads and writes are synchronous.
 *
 * An entry is dropped when it is next touched after it expired or fell to an invalidation; `sweep` reclaims the ones that
 * nobody touches. A namespace with a quota has a pool of its own: see `Pools`.
 */
export class MemoryBackend {
  readonly name = 'memory'
  readonly #removals = new CountersByNamespace<MemoryCounters>(() => ({ evictions: 0, expirations: 0 }))
  #now: Now
  #limits: Limits
  #ledger: Ledger
  #holdings!: Holdings
  #standing!: Standing
  #settlement!: Settlement
  /** Those of the holdings: a hit takes as long as it has steps to go. */
  #slots!: Slots
  #spaces!: Spaces
  #recent!: RecentKeys
  #decoded!: DecodedValues
  #sweeps = new Passes(async () => { await this.#holdings.each((slot, space) => { this.#standing.check(slot, space) }) })

  /** @throws UnsupportedOperationError for quotas that are more than there is */
  constructor ({ now, limits, ledger }: MemoryOptions) {
    checkQuotas(limits)
    this.#now = now
    this.#limits = limits
    this.#ledger = ledger
    this.reset()
  }

  get items (): number { return this.#holdings.items }
  get bytes (): number { return this.#holdings.bytes }

  /** What left since the start, from one namespace or from all. */
  counters (namespace?: string): MemoryCounters { return this.#removals.read(namespace) }

  /** Entries and bytes of one namespace. */
  usage (namespace: string): { items: number, bytes: number } {
    const { items, bytes } = this.#spaces.get(namespace) ?? { items: 0, bytes: 0 }
    return { items, bytes }
  }

  /**
   * The same, of all namespaces together when none is named. Of up to ten thousand entries those that have expired are dropped first;
   * of more they count until a sweep, or whoever asks for them, has met them.
   */
  async measure (namespace?: string): Promise<{ items: number, bytes: number }> {
    if (this.items <= COUNTED) await this.sweep()
    return namespace === undefined ? { items: this.items, bytes: this.bytes } : this.usage(namespace)
  }

  /** What is reserved for a namespace, undefined when nothing is. */
  quota (namespace: string): Quota | undefined { return this.#holdings.pools.quota(namespace) }

  /** Whether anything is held in a namespace. */
  holds (namespace: string): boolean { return this.#spaces.get(namespace) !== undefined }

  /** The largest entry that fits, in bytes. */
  get maxMemory (): number { return Math.min(this.#limits.maxMemory, LARGEST) }

  /**
   * Where an entry is, -1 when it is not there. It may be stale (past its TTL, within its grace).
   * The slot is good until the next call that writes.
   */
  find (namespace: string, key: string): number {
    const space = this.#spaces.get(namespace)
    if (space === undefined) return -1
    const slot = this.#holdings.lookup.find(space, key)
    return slot !== -1 && this.#standing.check(slot, space) ? slot : -1
  }

  /** The same for an entry that is fresh, in one go, with the read counted: -1 when there is no such one. */
  hit (namespace: string, key: string): number {
    const space = this.#spaces.get(namespace)
    if (space === undefined) return -1
    const slot = this.#recent.guess(sampleKey(key, space.salt))
    if (slot !== -1) {
      const flags = this.#slots.hit(slot, space.number, key, this.#now(), space.ledger.revision)
      if (flags !== NOT_USED) {
        this.#holdings.touch(slot, flags)
        return slot
      }
    }
    return this.#hitElsewhere(space, key)
  }

  isFresh (slot: number): boolean { return this.#slots.isFresh(slot, this.#now()) }

  /** Counts a read of the entry for its policy and its own statistics. */
  touch (slot: number): void { this.#holdings.touch(slot, this.#slots.use(slot, this.#now())) }

  /** The entry at a slot, as it is now. */
  entry (slot: number): Entry { return this.#slots.entry(slot, this.#holdings.spaceOf(slot).name) }

  stored (slot: number): StoredEntry {
    const slots = this.#slots
    const { namespace, key, value, dataType, tags, metadata, strategy, createdAt, accessedAt, accessCount, expiresAt, goneAt } = this.entry(slot)
    const version = slots.version(slot)
    const stamp = slots.stamp(slot)
    const storedLength = slots.storedLength(slot)
    return { namespace, key, value, dataType, tags, metadata, strategy, createdAt, accessedAt, accessCount, expiresAt, goneAt, version, stamp, storedLength }
  }

  /** What a reading tells of the entry at a slot: a few facts cost a fraction of all. */
  content (slot: number): Content { return this.#slots.content(slot) }

  /** The value at a slot, decoded: a copy of the caller's own. */
  value (slot: number): Promise<unknown> {
    return this.#decoded.copy(slot) ?? this.#decoded.decode(slot, this.#slots.value(slot))
  }

  /** The same as one that all share and nobody can change. */
  shared (slot: number): Promise<unknown> {
    return this.#decoded.shared(slot) ?? this.#decoded.share(slot, this.#slots.value(slot))
  }

  versionAt (slot: number): number { return this.#slots.version(slot) }

  /**
   * Stores an entry, evicting others as the limits demand; the segment of the entry's own strategy gives first.
   * @param stamp the entry's, unless it is another
   * @throws EntryTooLargeError when it can never fit; nothing changes then
   * @throws BackendFullError when all of the limits is reserved for other namespaces
   */
  put (entry: StoredEntry, stamp = entry.stamp): number { return this.#holdings.put(entry, stamp) }

  /** Why an entry could not be stored, whatever is there; undefined when it could. */
  refusal ({ namespace, key, value, tags, metadata }: StoredEntry): Error | undefined {
    return this.#holdings.refusal(sizeOf(key, value, tags, metadata), this.#holdings.pools.of(namespace))
  }

  /** Changes when an entry expires, and nothing else. */
  expire (slot: number, expiresAt: number, goneAt: number): void { this.#holdings.expire(slot, expiresAt, goneAt) }

  /** Whether there was an entry (a stale one does not count). */
  delete (namespace: string, key: string): boolean {
    const slot = this.find(namespace, key)
    if (slot === -1) return false
    const fresh = this.isFresh(slot)
    this.#holdings.release(slot)
    return fresh
  }

  /** Deletes the entry unless it is at least as new as a change at that stamp. */
  deleteBefore (namespace: string, key: string, stamp: number): void {
    const slot = this.find(namespace, key)
    if (slot !== -1 && this.#slots.stamp(slot) < stamp) this.#holdings.release(slot)
  }

  /** Drops everything, however much that is, at once. */
  reset (): void {
    if (this.#holdings !== undefined) this.#holdings.isDiscarded = true
    this.#holdings = new Holdings({ now: this.#now, limits: this.#limits, ledger: this.#ledger, removals: this.#removals })
    this.#standing = new Standing(this.#holdings, this.#now, this.#removals)
    this.#settlement = new Settlement(this.#holdings)
    this.#slots = this.#holdings.slots
    this.#spaces = this.#holdings.lookup.spaces
    this.#recent = this.#holdings.lookup.recent
    this.#decoded = this.#holdings.decoded
  }

  /**
   * Takes new limits and quotas. They count for every write from now on: what exceeds them already goes in slices of a few
   * milliseconds, the first of them at once, and meanwhile no write makes it more. See `settled`.
   * @throws UnsupportedOperationError for quotas that are more than there is; nothing changes then
   */
  configure (limits: Limits): void {
    checkQuotas(limits)
    this.#limits = limits
    this.#settlement.begin(this.#holdings.configure(limits))
  }

  /** Settles when what the limits and quotas have no room for is gone. */
  async settled (): Promise<void> { await this.#settlement.done }

  /**
   * A pass over every entry that drops what has expired or fallen to an invalidation recorded before the call. It runs in
   * slices of a few milliseconds; the promise settles when it is through.
   */
  async sweep (): Promise<void> { await this.#sweeps.ask() }

  /** @throws InvalidCursorError */
  async list (namespace: string, query: ListQuery): Promise<Listing> {
    const holdings = this.#holdings
    const standing = this.#standing
    const { slots } = holdings
    return await list(this.#spaces.get(namespace), query, {
      slots,
      holds: (slot, space) => slots.space(slot) === space.number && !holdings.isDiscarded && holdings.spaceOf(slot) === space,
      isAlive: (slot, space) => standing.check(slot, space) && this.isFresh(slot),
      entry: (slot) => this.entry(slot)
    })
  }

  /**
   * Shows every entry once, without touching it, in slices of a few milliseconds. What is written meanwhile may be missed, and
   * what has expired or fallen to an invalidation may be shown.
   * @param look must not write to the cache
   */
  async visit (look: (entry: VisitedEntry) => void): Promise<void> {
    await this.#holdings.each((slot, space) => {
      const slots = this.#slots
      look({
        namespace: space.name,
        key: slots.key(slot),
        dataType: DATA_TYPES[slots.dataType(slot)]!,
        size: slots.size(slot),
        createdAt: slots.createdAt(slot),
        expiresAt: slots.expiresAt(slot),
        accessCount: slots.accessCount(slot)
      })
    })
  }

  /**
   * The fresh entries whose key matches among the next slots; an entry keeps its slot while it lives, so that one that is there all the
   * time is met exactly once.
   * @param from a slot; 0 at first
   * @returns the slot to go on from, -1 at the end
   */
  portion (from: number, namespace: string | undefined, matches: Matcher): { entries: StoredEntry[], next: number } {
    const slots = this.#slots
    const end = Math.min(slots.high, from + PORTION)
    const entries: StoredEntry[] = []
    let bytes = 0
    let slot = from
    for (; slot < end && bytes < PORTION_BYTES; slot++) {
      const space = this.#spaces.at(slots.space(slot))
      if (space === undefined || (namespace !== undefined && space.name !== namespace) || !matches(slots.key(slot))) continue
      if (!this.#standing.check(slot, space) || !this.isFresh(slot)) continue
      entries.push(this.stored(slot))
      bytes += slots.size(slot)
    }
    return { entries, next: slot < slots.high ? slot : -1 }
  }

  /** A hit of what is not where it was last, or has to be held against invalidations. */
  #hitElsewhere (space: Space, key: string): number {
    const slot = this.#holdings.lookup.find(space, key)
    const now = this.#now()
    if (slot === -1 || !this.#standing.check(slot, space) || !this.#slots.isFresh(slot, now)) return -1
    this.#holdings.touch(slot, this.#slots.use(slot, now))
    return slot
  }
}
