import type { Now } from '../clock.js'
import { DecodedValues } from '../decoded.js'
import { DATA_TYPES, type DataType, type Entry, goneAfterSoft, isDurable, sizeOf, STRATEGIES, type StoredEntry } from '../entry.js'
import { BackendFullError, EntryTooLargeError } from '../errors.js'
import type { Matcher } from '../glob.js'
import type { Ledger } from '../ledger.js'
import type { Limits, Quota } from '../limits.js'
import { hashKey, sampleKey } from '../policies/hash.js'
import { SlotState } from '../policies/slot-state.js'
import { checkQuotas } from '../quotas.js'
import type { Content } from '../reading.js'
import { CountersByNamespace } from '../statistics.js'
import type { ListQuery, Listing } from './backend.js'
import { KeyIndex } from './memory/key-index.js'
import { COUNTED, list } from './memory/listing.js'
import { Pool, SEGMENTS } from './memory/pool.js'
import { RecentKeys } from './memory/recent-keys.js'
import { inSlices, sortedInSlices } from '../slices.js'
import { isOwnIn, NOT_USED, POLICY_WORDS, Slots, strategyIn } from './memory/slots.js'
import { type Space, Spaces } from './memory/spaces.js'
import { Pools } from './pools.js'

/** Bytes that one entry may have at most, whatever the limits. */
const LARGEST = 2 ** 32 - 1
/** Slots of a portion, and about the bytes of the entries in one. */
const PORTION = 256
const PORTION_BYTES = 256 * 1024
/** Where a key is that has to be looked up. */
const UNKNOWN = -2
/** When a limit is lowered nobody has just written: the default strategy's segment gives first. */
const FIRST_SEGMENT = 0
/** Segments that are in the order of the last use. */
const RECENCY = new Set((['lru', 'lfu', 'adaptive'] as const).map((policy) => STRATEGIES.indexOf(policy)))

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

/** Counts since the start. */
export interface MemoryCounters { evictions: number, expirations: number }

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
  #spaces!: Spaces
  #slots!: Slots
  #index!: KeyIndex
  #recent!: RecentKeys
  #pools!: Pools<Pool>
  #decoded!: DecodedValues
  #items = 0
  #bytes = 0
  /** What was looked up last: whoever writes has looked before. */
  #lastKey = ''
  #lastSalt = 0
  #lastHash = 0
  #lastSlot = UNKNOWN
  #lastSlotKey = ''
  #lastSpace: Space | undefined
  #pass: Promise<void> | undefined
  #nextPass: Promise<void> | undefined
  /** Namespaces whose entries are in another pool than they belong to. */
  #misplaced = new Set<string>()
  /** Whether limits, or the places of entries in pools, are yet to be reached. */
  #isSettling = false
  #settled: Promise<void> = Promise.resolve()

  /** @throws UnsupportedOperationError for quotas that are more than there is */
  constructor ({ now, limits, ledger }: MemoryOptions) {
    checkQuotas(limits)
    this.#now = now
    this.#limits = limits
    this.#ledger = ledger
    this.reset()
  }

  get items (): number { return this.#items }
  get bytes (): number { return this.#bytes }

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
    if (this.#items <= COUNTED) await this.sweep()
    return namespace === undefined ? { items: this.#items, bytes: this.#bytes } : this.usage(namespace)
  }

  /** What is reserved for a namespace, undefined when nothing is. */
  quota (namespace: string): Quota | undefined { return this.#pools.quota(namespace) }

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
    const sample = sampleKey(key, space.salt)
    let slot = this.#recent.find(space.number, key, sample)
    if (slot === -1) slot = this.#search(space, key, sample)
    this.#lastSlot = slot
    this.#lastSlotKey = key
    this.#lastSpace = space
    return slot !== -1 && this.#stands(slot, space) ? slot : -1
  }

  /** The same for an entry that is fresh, in one go, with the read counted: -1 when there is no such one. */
  hit (namespace: string, key: string): number {
    const space = this.#spaces.get(namespace)
    if (space === undefined) return -1
    const sample = sampleKey(key, space.salt)
    const slot = this.#recent.guess(sample)
    if (slot !== -1) {
      const flags = this.#slots.hit(slot, space.number, key, this.#now(), space.ledger.revision)
      if (flags !== NOT_USED) {
        this.#touch(slot, flags)
        return slot
      }
    }
    return this.#hitElsewhere(space, key, sample)
  }

  isFresh (slot: number): boolean { return this.#slots.isFresh(slot, this.#now()) }

  /** Counts a read of the entry for its policy and its own statistics. */
  touch (slot: number): void {
    this.#touch(slot, this.#slots.use(slot, this.#now()))
  }

  /** The entry at a slot, as it is now. */
  entry (slot: number): Entry { return this.#slots.entry(slot, this.#spaceOf(slot).name) }

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
  put (entry: StoredEntry, stamp = entry.stamp): number {
    const size = sizeOf(entry.key, entry.value, entry.tags, entry.metadata)
    const pool = this.#pools.of(entry.namespace)
    const refusal = this.#refusal(size, pool)
    if (refusal !== undefined) throw refusal
    const segment = SEGMENTS[STRATEGIES.indexOf(entry.strategy)] as number
    const most = this.#most(pool)
    let slot = this.#locate(entry.namespace, entry.key)
    if (slot === -1) {
      this.#makeRoom(pool, size, 1, segment)
      if (most !== undefined) this.#makeRoomElsewhere(most, size, 1, slot)
      // Only now: making room may have emptied this very namespace.
      slot = this.#insert(this.#spaces.open(entry.namespace), entry.key)
      this.#slots.setInOwnPool(slot, pool !== this.#pools.common)
      pool.admit(slot, segment, entry.expiresAt, this.#slots.hash(slot))
      pool.items++
    } else {
      const growth = size - this.#slots.size(slot)
      this.#replace(slot, pool, segment, size, entry.expiresAt)
      if (most !== undefined) this.#makeRoomElsewhere(most, growth, 0, slot)
    }
    this.#write(slot, pool, size, entry, stamp)
    return slot
  }

  /** Why an entry could not be stored, whatever is there; undefined when it could. */
  refusal (entry: StoredEntry): Error | undefined {
    return this.#refusal(sizeOf(entry.key, entry.value, entry.tags, entry.metadata), this.#pools.of(entry.namespace))
  }

  /** Changes when an entry expires, and nothing else. */
  expire (slot: number, expiresAt: number, goneAt: number): void {
    this.#slots.setExpiry(slot, expiresAt, goneAt)
    this.#poolOf(slot).policy(this.#segmentOf(slot)).replace(slot, expiresAt, false)
  }

  /** Whether there was an entry (a stale one does not count). */
  delete (namespace: string, key: string): boolean {
    const slot = this.find(namespace, key)
    if (slot === -1) return false
    const fresh = this.isFresh(slot)
    this.#release(slot)
    return fresh
  }

  /** Deletes the entry unless it is at least as new as a change at that stamp. */
  deleteBefore (namespace: string, key: string, stamp: number): void {
    const slot = this.find(namespace, key)
    if (slot !== -1 && this.#slots.stamp(slot) < stamp) this.#release(slot)
  }

  /** Drops everything, however much that is, at once. */
  reset (): void {
    const slots: Slots = new Slots((capacity) => { state.resize(capacity) })
    const state = new SlotState({ rows: slots.rows, ...POLICY_WORDS })
    this.#slots = slots
    this.#spaces = new Spaces(this.#ledger)
    this.#index = new KeyIndex(slots)
    this.#recent = new RecentKeys(slots)
    this.#pools = new Pools((quota) => new Pool(state, quota), this.#limits)
    this.#decoded = new DecodedValues(this.#limits.maxMemory)
    this.#items = 0
    this.#bytes = 0
    this.#lastSlot = UNKNOWN
    this.#misplaced.clear()
  }

  /**
   * Takes new limits and quotas. They count for every write from now on: what exceeds them already goes in slices of a few
   * milliseconds, the first of them at once, and meanwhile no write makes it more. See `settled`.
   * @throws UnsupportedOperationError for quotas that are more than there is; nothing changes then
   */
  configure (limits: Limits): void {
    checkQuotas(limits)
    this.#limits = limits
    this.#decoded.configure(limits.maxMemory)
    for (const namespace of this.#pools.configure(limits)) this.#misplaced.add(namespace)
    if (!this.#isSettling) this.#settled = this.#settle()
  }

  /** Settles when what the limits and quotas have no room for is gone. */
  async settled (): Promise<void> { await this.#settled }

  /**
   * A pass over every entry that drops what has expired or fallen to an invalidation recorded before the call. It runs in
   * slices of a few milliseconds; the promise settles when it is through.
   */
  async sweep (): Promise<void> {
    if (this.#pass === undefined) {
      this.#pass = this.#sweepOnce().finally(() => { this.#pass = undefined })
      return await this.#pass
    }
    // The pass under way may have missed what came after its start: one more, shared by all who ask meanwhile.
    this.#nextPass ??= this.#pass.then(async () => {
      this.#nextPass = undefined
      await this.sweep()
    })
    await this.#nextPass
  }

  /** @throws InvalidCursorError */
  async list (namespace: string, query: ListQuery): Promise<Listing> {
    const slots = this.#slots
    return await list(this.#spaces.get(namespace), query, {
      slots,
      holds: (slot, space) => slots.space(slot) === space.number && this.#slots === slots && this.#spaceOf(slot) === space,
      isAlive: (slot, space) => this.#stands(slot, space) && this.isFresh(slot),
      entry: (slot) => this.entry(slot)
    })
  }

  /**
   * Shows every entry once, without touching it, in slices of a few milliseconds. What is written meanwhile may be missed, and
   * what has expired or fallen to an invalidation may be shown.
   * @param look must not write to the cache
   */
  async visit (look: (entry: VisitedEntry) => void): Promise<void> {
    await this.#eachSlot((slot, space) => {
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
      if (!this.#stands(slot, space) || !this.isFresh(slot)) continue
      entries.push(this.stored(slot))
      bytes += slots.size(slot)
    }
    return { entries, next: slot < slots.high ? slot : -1 }
  }

  /** A hit of what is not where it was last, or has to be held against invalidations. */
  #hitElsewhere (space: Space, key: string, sample: number): number {
    let slot = this.#recent.find(space.number, key, sample)
    if (slot === -1) slot = this.#search(space, key, sample)
    const now = this.#now()
    if (slot === -1 || !this.#stands(slot, space) || !this.#slots.isFresh(slot, now)) return -1
    this.#touch(slot, this.#slots.use(slot, now))
    return slot
  }

  #touch (slot: number, flags: number): void {
    const pool = isOwnIn(flags) ? this.#poolOf(slot) : this.#pools.common
    pool.policy(SEGMENTS[strategyIn(flags)] as number).touch(slot)
  }

  #spaceOf (slot: number): Space { return this.#spaces.at(this.#slots.space(slot)) as Space }
  #segmentOf (slot: number): number { return SEGMENTS[this.#slots.strategy(slot)] as number }

  /** Where the entry counts, which is not where it belongs while a quota is being set or taken away. */
  #poolOf (slot: number): Pool {
    return this.#slots.isInOwnPool(slot) ? this.#pools.own(this.#spaceOf(slot).name) as Pool : this.#pools.common
  }

  /** The slot of a key that is not among the recent ones. */
  #search (space: Space, key: string, sample: number): number {
    const hash = hashKey(key, space.salt)
    this.#lastKey = key
    this.#lastSalt = space.salt
    this.#lastHash = hash
    const slot = this.#index.find(space.number, key, hash)
    if (slot !== -1) this.#recent.note(slot, sample)
    return slot
  }

  /** The hash of the key, which was probably looked up just before. */
  #hash ({ salt }: Space, key: string): number {
    return key === this.#lastKey && salt === this.#lastSalt ? this.#lastHash : hashKey(key, salt)
  }

  /** Where the key is, whatever the state of its entry. */
  #locate (namespace: string, key: string): number {
    const space = this.#spaces.get(namespace)
    if (space === undefined) return -1
    if (this.#lastSlot !== UNKNOWN && key === this.#lastSlotKey && space === this.#lastSpace) return this.#lastSlot
    return this.#index.find(space.number, key, this.#hash(space, key))
  }

  /** Whether the entry still stands; drops it when it does not. */
  #stands (slot: number, space: Space): boolean {
    if (this.#slots.goneAt(slot) <= this.#now()) {
      this.#removals.of(space.name).expirations++
      this.#release(slot)
      return false
    }
    const { revision } = space.ledger
    return revision === 0 || this.#slots.checked(slot) >= revision || this.#passes(slot, space)
  }

  /** Holds the entry against the invalidations that came since it was last held against them. */
  #passes (slot: number, space: Space): boolean {
    const slots = this.#slots
    const marker = space.ledger.verdict(slots.key(slot), slots.tags(slot), slots.stamp(slot), slots.checked(slot))
    slots.setChecked(slot, space.ledger.revision)
    if (marker === undefined) return true
    // What the durable tier has as well is counted there.
    if (this.isFresh(slot) && !isDurable(STRATEGIES[slots.strategy(slot)]!)) marker.removed++
    const times = { expiresAt: slots.expiresAt(slot), goneAt: slots.goneAt(slot) }
    if (marker.soft && times.goneAt !== times.expiresAt) {
      this.expire(slot, Math.min(times.expiresAt, this.#now()), goneAfterSoft(times, this.#now()))
      return true
    }
    this.#release(slot)
    return false
  }

  #insert (space: Space, key: string): number {
    const slot = this.#slots.take(key, this.#hash(space, key), space.number)
    this.#index.add(slot)
    this.#lastSlot = UNKNOWN
    space.items++
    this.#items++
    return slot
  }

  #replace (slot: number, pool: Pool, segment: number, size: number, expiresAt: number): void {
    const slots = this.#slots
    const oldPool = this.#poolOf(slot)
    const oldSegment = this.#segmentOf(slot)
    const growth = size - slots.size(slot)
    if (oldPool === pool && oldSegment === segment) {
      const policy = pool.policy(segment)
      policy.replace(slot, expiresAt, true)
      while (!pool.hasRoom(growth, 0) && policy.victim() !== slot) this.#evict(policy.victim())
      if (pool.hasRoom(growth, 0)) return
    }
    // Out of its policy while room is made, so that it cannot be the victim of its own growth.
    oldPool.forget(slot, oldSegment, false)
    if (oldPool === pool) this.#makeRoom(pool, growth, 0, segment)
    else {
      this.#makeRoom(pool, size, 1, segment)
      this.#count(slot, oldPool, pool)
    }
    pool.admit(slot, segment, expiresAt, slots.hash(slot))
  }

  /** Counts an entry in another pool from now on. */
  #count (slot: number, from: Pool, to: Pool): void {
    const size = this.#slots.size(slot)
    from.items--
    from.bytes -= size
    to.items++
    to.bytes += size
    this.#slots.setInOwnPool(slot, to !== this.#pools.common)
  }

  #write (slot: number, pool: Pool, size: number, entry: StoredEntry, stamp: number): void {
    const slots = this.#slots
    const growth = size - slots.size(slot)
    this.#bytes += growth
    pool.bytes += growth
    this.#spaceOf(slot).bytes += growth
    slots.write(slot, entry, size, stamp)
    this.#decoded.drop(slot)
  }

  #release (slot: number, evicted = false): void {
    const space = this.#spaceOf(slot)
    const pool = this.#poolOf(slot)
    const size = this.#slots.size(slot)
    this.#index.remove(slot)
    this.#lastSlot = UNKNOWN
    pool.forget(slot, this.#segmentOf(slot), evicted)
    pool.items--
    pool.bytes -= size
    space.items--
    space.bytes -= size
    this.#items--
    this.#bytes -= size
    this.#slots.release(slot)
    this.#decoded.drop(slot)
    if (space.items === 0) this.#spaces.drop(space)
  }

  #refusal (size: number, pool: Pool): Error | undefined {
    if (size > pool.maxMemory || size > LARGEST) return new EntryTooLargeError(size, Math.min(pool.maxMemory, LARGEST))
    return pool.maxItems === 0 ? new BackendFullError(this.name) : undefined
  }

  /** Evicts until so much more fits into the pool. */
  #makeRoom (pool: Pool, bytes: number, items: number, segment: number): void {
    while (!pool.hasRoom(bytes, items)) {
      const victim = pool.victim(segment)
      if (victim === -1) return
      this.#evict(victim)
    }
  }

  /** What there may be after a write, in all: undefined when the pools see to it by themselves. */
  #most (pool: Pool): Quota | undefined {
    pool.bound()
    if (!this.#isSettling) return undefined
    return { maxItems: Math.max(this.#limits.maxItems, this.#items), maxMemory: Math.max(this.#limits.maxMemory, this.#bytes) }
  }

  /** While a new quota takes effect, another pool may hold what is this one's by now. */
  #makeRoomElsewhere (most: Quota, bytes: number, items: number, slot: number): void {
    while (this.#bytes + bytes > most.maxMemory || this.#items + items > most.maxItems) {
      const victim = this.#pools.over()?.victim(FIRST_SEGMENT) ?? -1
      if (victim === -1 || victim === slot) return
      this.#evict(victim)
    }
  }

  #evict (victim: number): void {
    const removals = this.#removals.of(this.#spaceOf(victim).name)
    if (this.#slots.goneAt(victim) > this.#now()) removals.evictions++
    else removals.expirations++
    this.#release(victim, true)
  }

  async #sweepOnce (): Promise<void> {
    await this.#eachSlot((slot, space) => { this.#stands(slot, space) })
  }

  /** Every slot in use, in slices of a few milliseconds. */
  async #eachSlot (visit: (slot: number, space: Space) => void): Promise<void> {
    const slots = this.#slots
    await inSlices(slots.high, (slot) => {
      if (this.#slots !== slots) return false
      if (slots.space(slot) !== -1) visit(slot, this.#spaceOf(slot))
      return true
    })
  }

  /** First entries go where they belong, so that those of a namespace give way to each other alone; then what is too much goes. */
  async #settle (): Promise<void> {
    this.#isSettling = true
    for (;;) {
      const [misplaced] = this.#misplaced
      if (misplaced !== undefined) {
        this.#misplaced.delete(misplaced)
        await this.#place(misplaced)
        continue
      }
      const pools = this.#pools
      const pool = pools.over()
      if (pool === undefined) {
        this.#isSettling = false
        return
      }
      await inSlices(Infinity, () => {
        const victim = this.#pools === pools && pool.isOver ? pool.victim(FIRST_SEGMENT) : -1
        if (victim !== -1) this.#evict(victim)
        return victim !== -1
      })
    }
  }

  /** Brings the entries of a namespace into the pool they belong to, in the order of their use; `lfu` counts uses anew from then on. */
  async #place (namespace: string): Promise<void> {
    const space = this.#spaces.get(namespace)
    if (space !== undefined) {
      const [slots, pools] = [this.#slots, this.#pools]
      const isMisplaced = (slot: number): boolean => this.#spaceOf(slot) === space && this.#poolOf(slot) !== pools.of(namespace)
      const found = new Int32Array(space.items)
      let count = 0
      await this.#eachSlot((slot) => { if (isMisplaced(slot)) found[count++] = slot })
      const ordered = await sortedInSlices(found.subarray(0, count), (slot) => this.#lastMove(slot))
      await inSlices(count, (at) => {
        if (this.#slots !== slots) return false
        const slot = ordered[at] as number
        if (slots.space(slot) !== -1 && isMisplaced(slot)) this.#move(slot, this.#poolOf(slot), pools.of(namespace))
        return true
      })
    }
    this.#pools.close(namespace)
  }

  #move (slot: number, from: Pool, to: Pool): void {
    const segment = this.#segmentOf(slot)
    from.forget(slot, segment, false)
    this.#count(slot, from, to)
    to.admit(slot, segment, this.#slots.expiresAt(slot), this.#slots.hash(slot))
  }

  /** When the entry last moved in its policy: a queue does not move for reads. */
  #lastMove (slot: number): number {
    return RECENCY.has(this.#segmentOf(slot)) ? this.#slots.accessedAt(slot) : this.#slots.createdAt(slot)
  }
}
