import type { Now } from '../../clock.js'
import { DecodedValues } from '../../decoded.js'
import { sizeOf, STRATEGIES, type StoredEntry } from '../../entry.js'
import { BackendFullError, EntryTooLargeError } from '../../errors.js'
import type { Ledger } from '../../ledger.js'
import type { Limits, Quota } from '../../limits.js'
import { SlotState } from '../../policies/slot-state.js'
import { inSlices } from '../../slices.js'
import type { CountersByNamespace } from '../../statistics.js'
import { Pools } from '../pools.js'
import { Lookup } from './lookup.js'
import { Pool, SEGMENTS } from './pool.js'
import { isOwnIn, POLICY_WORDS, Slots, strategyIn } from './slots.js'
import type { Space } from './spaces.js'

/** Bytes that one entry may have at most, whatever the limits. */
export const LARGEST = 2 ** 32 - 1
/** When a limit is lowered nobody has just written: the default strategy's segment gives first. */
const FIRST_SEGMENT = 0

/** Counts since the start. */
export interface MemoryCounters { evictions: number, expirations: number }

export interface HoldingsOptions {
  now: Now
  limits: Limits
  ledger: Ledger
  removals: CountersByNamespace<MemoryCounters>
}

/** What the memory holds, and the room that it takes: whoever comes in makes others go, as limits and quotas demand. */
export class Holdings {
  readonly slots: Slots
  readonly lookup: Lookup
  readonly pools: Pools<Pool>
  readonly decoded: DecodedValues
  items = 0
  bytes = 0
  /** Whether limits, or the places of entries in pools, are yet to be reached. */
  isSettling = false
  /** Nothing of it counts any more: passes over it end. */
  isDiscarded = false
  #now: Now
  #limits: Limits
  #removals: CountersByNamespace<MemoryCounters>

  constructor ({ now, limits, ledger, removals }: HoldingsOptions) {
    const slots: Slots = new Slots((capacity) => { state.resize(capacity) })
    const state = new SlotState({ rows: slots.rows, ...POLICY_WORDS })
    this.slots = slots
    this.lookup = new Lookup(slots, ledger)
    this.pools = new Pools((quota) => new Pool(state, quota), limits)
    this.decoded = new DecodedValues(limits.maxMemory, slots)
    this.#now = now
    this.#limits = limits
    this.#removals = removals
  }

  spaceOf (slot: number): Space { return this.lookup.spaces.at(this.slots.space(slot)) as Space }
  segmentOf (slot: number): number { return SEGMENTS[this.slots.strategy(slot)] as number }

  /** Where the entry counts, which is not where it belongs while a quota is being set or taken away. */
  poolOf (slot: number): Pool {
    return this.slots.isInOwnPool(slot) ? this.pools.own(this.spaceOf(slot).name) as Pool : this.pools.common
  }

  /** @returns the namespaces whose entries are in another pool than they belong to */
  configure (limits: Limits): string[] {
    this.#limits = limits
    this.decoded.configure(limits.maxMemory)
    return this.pools.configure(limits)
  }

  /** A use of the entry, for its policy. @param flags what `Slots.use` answered */
  touch (slot: number, flags: number): void {
    const pool = isOwnIn(flags) ? this.poolOf(slot) : this.pools.common
    pool.policy(SEGMENTS[strategyIn(flags)] as number).touch(slot)
  }

  /** Why an entry of so many bytes could not be stored, whatever is there; undefined when it could. */
  refusal (size: number, pool: Pool): Error | undefined {
    if (size > pool.maxMemory || size > LARGEST) return new EntryTooLargeError(size, Math.min(pool.maxMemory, LARGEST))
    return pool.maxItems === 0 ? new BackendFullError('memory') : undefined
  }

  /** See `MemoryBackend.put`. */
  put (entry: StoredEntry, stamp: number): number {
    const size = sizeOf(entry.key, entry.value, entry.tags, entry.metadata)
    const pool = this.pools.of(entry.namespace)
    const refusal = this.refusal(size, pool)
    if (refusal !== undefined) throw refusal
    const segment = SEGMENTS[STRATEGIES.indexOf(entry.strategy)] as number
    const most = this.#most(pool)
    let slot = this.lookup.locate(entry.namespace, entry.key)
    if (slot === -1) {
      this.#makeRoom(pool, size, 1, segment)
      if (most !== undefined) this.#makeRoomElsewhere(most, size, 1, slot)
      slot = this.#insert(entry, pool, segment)
    } else {
      const growth = size - this.slots.size(slot)
      this.#replace(slot, pool, segment, size, entry.expiresAt)
      if (most !== undefined) this.#makeRoomElsewhere(most, growth, 0, slot)
    }
    this.#write(slot, pool, size, entry, stamp)
    return slot
  }

  expire (slot: number, expiresAt: number, goneAt: number): void {
    this.slots.setExpiry(slot, expiresAt, goneAt)
    this.poolOf(slot).policy(this.segmentOf(slot)).replace(slot, expiresAt, false)
  }

  /** The entry goes, for whatever reason. */
  release (slot: number, evicted = false): void {
    const space = this.spaceOf(slot)
    const pool = this.poolOf(slot)
    const size = this.slots.size(slot)
    pool.forget(slot, this.segmentOf(slot), evicted)
    pool.items--
    pool.bytes -= size
    space.items--
    space.bytes -= size
    this.items--
    this.bytes -= size
    this.lookup.remove(slot)
    this.decoded.drop(slot)
    if (space.items === 0) this.lookup.spaces.drop(space)
  }

  /** Into another pool, without being read or written. */
  move (slot: number, to: Pool): void {
    const segment = this.segmentOf(slot)
    const from = this.poolOf(slot)
    from.forget(slot, segment, false)
    this.#count(slot, from, to)
    to.admit(slot, segment, this.slots.expiresAt(slot), this.slots.hash(slot))
  }

  /** Whether a pool that holds too much had one that could go, and it went. */
  relieve (pool: Pool): boolean {
    const victim = pool.isOver ? pool.victim(FIRST_SEGMENT) : -1
    if (victim !== -1) this.#evict(victim)
    return victim !== -1
  }

  /** Every slot in use, in slices of a few milliseconds. */
  async each (visit: (slot: number, space: Space) => void): Promise<void> {
    await inSlices(this.slots.high, (slot) => {
      if (this.isDiscarded) return false
      if (this.slots.space(slot) !== -1) visit(slot, this.spaceOf(slot))
      return true
    })
  }

  #insert ({ namespace, key, expiresAt }: StoredEntry, pool: Pool, segment: number): number {
    // Only now: making room may have emptied this very namespace.
    const space = this.lookup.spaces.open(namespace)
    const slot = this.lookup.add(space, key)
    space.items++
    this.items++
    this.slots.setInOwnPool(slot, pool !== this.pools.common)
    pool.admit(slot, segment, expiresAt, this.slots.hash(slot))
    pool.items++
    return slot
  }

  #replace (slot: number, pool: Pool, segment: number, size: number, expiresAt: number): void {
    const { slots } = this
    const oldPool = this.poolOf(slot)
    const oldSegment = this.segmentOf(slot)
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
    const size = this.slots.size(slot)
    from.items--
    from.bytes -= size
    to.items++
    to.bytes += size
    this.slots.setInOwnPool(slot, to !== this.pools.common)
  }

  #write (slot: number, pool: Pool, size: number, entry: StoredEntry, stamp: number): void {
    const growth = size - this.slots.size(slot)
    this.bytes += growth
    pool.bytes += growth
    this.spaceOf(slot).bytes += growth
    this.slots.write(slot, entry, size, stamp)
    this.decoded.drop(slot)
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
    if (!this.isSettling) return undefined
    return { maxItems: Math.max(this.#limits.maxItems, this.items), maxMemory: Math.max(this.#limits.maxMemory, this.bytes) }
  }

  /** While a new quota takes effect, another pool may hold what is this one's by now. */
  #makeRoomElsewhere (most: Quota, bytes: number, items: number, slot: number): void {
    while (this.bytes + bytes > most.maxMemory || this.items + items > most.maxItems) {
      const victim = this.pools.over()?.victim(FIRST_SEGMENT) ?? -1
      if (victim === -1 || victim === slot) return
      this.#evict(victim)
    }
  }

  #evict (victim: number): void {
    const removals = this.#removals.of(this.spaceOf(victim).name)
    if (this.slots.goneAt(victim) > this.#now()) removals.evictions++
    else removals.expirations++
    this.release(victim, true)
  }
}
