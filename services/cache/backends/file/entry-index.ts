import type { Now } from '../../clock.js'
import { NO_TAGS, STRATEGIES } from '../../entry.js'
import { BackendFullError, EntryTooLargeError } from '../../errors.js'
import type { Limits } from '../../limits.js'
import { SlotState } from '../../policies/slot-state.js'
import type { CountersByNamespace } from '../../statistics.js'
import type { Outline } from '../backend.js'
import { Pools } from '../pools.js'
import { Columns } from './columns.js'
import { inOrder } from './restoring.js'
import type { Amendment, EntryRow } from './rows.js'
import { segmentOf, Segments } from './segments.js'
import type { Tallies } from './tallies.js'

/** The value has a row of its own. */
const APART = 1
/** There is a row with what changed since the write, maybe of an older version. */
const AMENDED = 2
/** What changed since the write is not in a row yet. */
const DIRTY = 4

/** One namespace. */
export interface Space {
  readonly name: string
  readonly index: Map<string, number>
  bytes: number
  /** Whose limits its entries count against: its own where it has a quota. */
  pool: Segments
}

/** Rows that an entry has besides its own. */
export interface Parts { readonly apart: boolean, readonly amended: boolean }

/** An entry that left, whose rows are to be deleted. */
export interface Removed extends Parts { readonly namespace: string, readonly key: string }

/** What the index is given of an entry. */
export interface Indexed extends EntryRow {
  readonly namespace: string
  readonly key: string
  readonly tags: readonly string[]
  /** As `sizeOf` counts it, with the stored value. */
  readonly size: number
  readonly apart: boolean
}

export type IndexLimits = Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>

/** Entries that gave way to others, and those that were damaged, by namespace. */
export type Removals = CountersByNamespace<{ evictions: number, damaged: number }>

export interface IndexOptions {
  now: Now
  limits: IndexLimits
  /** Counted on here: an index may be made anew while the process lives. */
  removals: Removals
}

/**
 * What is in the store, in memory: every entry but for its value and metadata. It decides who is there and who goes, at once and
 * exactly; the store on disk follows. Slots are good until the next call that adds or removes.
 */
export class EntryIndex {
  readonly columns: Columns<Space>
  #now: Now
  #spaces = new Map<string, Space>()
  #pools: Pools<Segments>
  #removals: Removals
  #uses = 0
  #dirty: number[] = []
  #tallies: Tallies | undefined

  constructor ({ now, limits, removals }: IndexOptions) {
    this.#now = now
    this.#removals = removals
    const state = new SlotState()
    this.#pools = new Pools((quota) => new Segments(state, quota), limits)
    this.columns = new Columns((capacity) => { state.resize(capacity) })
  }

  get items (): number { return this.#pools.all().reduce((sum, { items }) => sum + items, 0) }
  get bytes (): number { return this.#pools.all().reduce((sum, { bytes }) => sum + bytes, 0) }

  /** Why an entry of that size can never be put in; undefined when it can. */
  refusal (namespace: string, size: number): Error | undefined {
    const { maxItems, maxMemory } = this.#pools.of(namespace)
    if (size > maxMemory) return new EntryTooLargeError(size, maxMemory)
    return maxItems === 0 ? new BackendFullError('file') : undefined
  }

  /** The keys of a namespace, by name; those that are added while somebody goes through them come last. */
  space (namespace: string): Space | undefined { return this.#spaces.get(namespace) }
  spaces (): IterableIterator<Space> { return this.#spaces.values() }

  /** Where an entry is, -1 when it is not there. It may be past its TTL, or gone for good. */
  find (namespace: string, key: string): number { return this.#spaces.get(namespace)?.index.get(key) ?? -1 }

  isGone (slot: number): boolean { return (this.columns.goneAt[slot] as number) <= this.#now() }

  tagsAt (slot: number): readonly string[] { return this.columns.tags.get(slot) ?? NO_TAGS }

  parts (slot: number): Parts {
    const flags = this.columns.flags[slot] as number
    return { apart: (flags & APART) !== 0, amended: (flags & AMENDED) !== 0 }
  }

  outline (namespace: string, key: string, slot: number): Outline {
    const { stamps, versions, expiresAt, goneAt, sizes } = this.columns
    return {
      namespace,
      key,
      tags: this.tagsAt(slot),
      stamp: stamps[slot] as number,
      version: versions[slot] as number,
      expiresAt: expiresAt[slot] as number,
      goneAt: goneAt[slot] as number,
      size: sizes[slot] as number
    }
  }

  /** What may change of an entry, as it is now. */
  amendment (slot: number): Amendment {
    const { versions, expiresAt, goneAt, accessedAt, used, reads, uses } = this.columns
    return {
      version: versions[slot] as number,
      expiresAt: expiresAt[slot] as number,
      goneAt: goneAt[slot] as number,
      accessedAt: accessedAt[slot] as number,
      used: used[slot] as number,
      reads: reads[slot] as number,
      uses: uses[slot] as number
    }
  }

  /** The place of a use that comes now, in the order of all. */
  nextUse (): number { return ++this.#uses }

  /** How often the key was used since it came in, with the write that comes now. */
  usesWith (slot: number): number { return slot === -1 ? 1 : (this.columns.uses[slot] as number) + 1 }

  /**
   * Puts an entry in, and answers who has to go for it: of its own pool, where the segment of its own strategy gives first.
   * @throws EntryTooLargeError, BackendFullError when it can never fit; nothing changes then
   */
  put (entry: Indexed): Removed[] {
    const refusal = this.refusal(entry.namespace, entry.size)
    if (refusal !== undefined) throw refusal
    const strategy = segmentOf(entry.strategy)
    const removed: Removed[] = []
    let slot = this.find(entry.namespace, entry.key)
    if (slot === -1) {
      const pool = this.#pools.of(entry.namespace)
      this.#makeRoom(pool, entry.size, 1, strategy, removed)
      slot = this.#take(entry.namespace, entry.key)
      pool.admit(slot, strategy, entry.expiresAt, entry.namespace, entry.key)
    } else {
      this.#tally(slot, -1)
      this.#replace(slot, strategy, entry, removed)
    }
    this.#write(slot, strategy, entry)
    this.#tally(slot, 1)
    return removed
  }

  /** Puts in an entry of an earlier process; `restored` follows when all are in. */
  load (entry: Indexed): void {
    const slot = this.#take(entry.namespace, entry.key)
    this.#write(slot, segmentOf(entry.strategy), entry)
    this.#uses = Math.max(this.#uses, entry.used)
  }

  /** Applies what changed of an entry since it was written. Answers whether it is about the version that is there. */
  amend (namespace: string, key: string, amendment: Amendment): boolean {
    const slot = this.find(namespace, key)
    if (slot === -1 || this.columns.versions[slot] !== amendment.version) return false
    const { expiresAt, goneAt, accessedAt, used, reads, uses, flags } = this.columns
    expiresAt[slot] = amendment.expiresAt
    goneAt[slot] = amendment.goneAt
    accessedAt[slot] = amendment.accessedAt
    used[slot] = amendment.used
    reads[slot] = amendment.reads
    uses[slot] = amendment.uses
    flags[slot]! |= AMENDED
    this.#uses = Math.max(this.#uses, amendment.used)
    return true
  }

  /** The entry, if it is there, goes with those whose time is over: see `restored`. */
  end (namespace: string, key: string): void {
    const slot = this.find(namespace, key)
    if (slot === -1) return
    this.#tally(slot, -1)
    this.columns.goneAt[slot] = -Infinity
    this.#tally(slot, 1)
  }

  /** Counts what is there, and from now on what comes and goes. */
  countInto (tallies: Tallies): void {
    this.#tallies = tallies
    for (let slot = 0; slot < this.columns.high; slot++) if (this.columns.spaces[slot] !== undefined) this.#tally(slot, 1)
  }

  /** Everything is loaded: brings it in order, and answers who has to go, because their time is over or the limits are lower than they were. */
  restored (): Removed[] {
    for (const pool of this.#pools.all()) this.#arrange(pool)
    const { columns } = this
    const gone: Removed[] = []
    for (let slot = 0; slot < columns.high; slot++) if (this.isGone(slot)) gone.push(this.remove(slot))
    return [...gone, ...this.#shrink()]
  }

  /** Counts a read of the entry, for its policy and its own statistics. */
  touch (slot: number, reads: number, at: number): void {
    const { columns } = this
    columns.accessedAt[slot] = at
    columns.used[slot] = this.nextUse()
    columns.reads[slot] = Math.min((columns.reads[slot] as number) + reads, 0xffffffff)
    columns.uses[slot] = Math.min((columns.uses[slot] as number) + reads, 0xffffffff)
    const { pool } = columns.spaces[slot] as Space
    for (let read = 0; read < reads; read++) pool.touch(slot, columns.strategies[slot] as number)
    if (((columns.flags[slot] as number) & DIRTY) === 0) {
      columns.flags[slot]! |= DIRTY
      this.#dirty.push(slot)
    }
  }

  /** Changes when an entry expires; what is to be written says `amendment`. */
  expire (slot: number, expiresAt: number, goneAt: number): void {
    const { columns } = this
    this.#tally(slot, -1)
    columns.expiresAt[slot] = expiresAt
    columns.goneAt[slot] = goneAt
    this.#tally(slot, 1)
    const { pool } = columns.spaces[slot] as Space
    pool.replace(slot, columns.strategies[slot] as number, expiresAt, false)
    this.amended(slot)
  }

  /** What changed since the write is about to have a row. */
  amended (slot: number): void { this.columns.flags[slot] = ((this.columns.flags[slot] as number) & ~DIRTY) | AMENDED }

  /** Whether there are such slots: see `dirty`. */
  get hasDirty (): boolean { return this.#dirty.length > 0 }

  /** Slots whose entry has changed since the write and is not written yet; each is told once, at most so many. */
  dirty (most: number): number[] {
    const slots = this.#dirty.splice(0, most)
    return slots.filter((slot) => ((this.columns.flags[slot] as number) & DIRTY) !== 0)
  }

  remove (slot: number): Removed { return this.#remove(slot, false) }

  /** Takes new limits and quotas, and answers who has to go. Entries of a quota that came or went keep their order. */
  configure (limits: IndexLimits): Removed[] {
    for (const namespace of this.#pools.configure(limits)) {
      const space = this.#spaces.get(namespace)
      if (space !== undefined) this.#move(space, this.#pools.of(namespace))
      this.#pools.close(namespace)
    }
    return this.#shrink()
  }

  #shrink (): Removed[] {
    const removed: Removed[] = []
    for (const pool of this.#pools.all()) this.#makeRoom(pool, 0, 0, 0, removed)
    return removed
  }

  /** Brings a namespace into another pool: there its entries come between those that it has, by the order of all. */
  #move (space: Space, to: Segments): void {
    const { columns } = this
    for (const slot of space.index.values()) space.pool.forget(slot, columns.strategies[slot] as number, false)
    for (const [bounds, sign] of [[space.pool, -1], [to, 1]] as const) {
      bounds.items += sign * space.index.size
      bounds.bytes += sign * space.bytes
    }
    space.pool = to
    this.#arrange(to, new Set([...space.index.values()].map((slot) => columns.strategies[slot] as number)))
  }

  /** Gives the segments of a pool their entries anew, in order. */
  #arrange (pool: Segments, strategies = new Set(STRATEGIES.keys())): void {
    const { columns } = this
    const slots = new Map<number, number[]>()
    for (const space of this.#spaces.values()) {
      if (space.pool !== pool) continue
      for (const slot of space.index.values()) {
        const strategy = columns.strategies[slot] as number
        const own = slots.get(strategy)
        if (own !== undefined) own.push(slot)
        else if (strategies.has(strategy)) slots.set(strategy, [slot])
      }
    }
    for (const [strategy, own] of slots) {
      pool.restore(strategy, inOrder(own, strategy, columns).map((slot) => ({
        slot,
        expiresAt: columns.expiresAt[slot] as number,
        uses: columns.uses[slot] as number,
        namespace: (columns.spaces[slot] as Space).name,
        key: columns.keys[slot] as string
      })))
    }
  }

  #take (namespace: string, key: string): number {
    let space = this.#spaces.get(namespace)
    if (space === undefined) {
      space = { name: namespace, index: new Map(), bytes: 0, pool: this.#pools.of(namespace) }
      this.#spaces.set(namespace, space)
    }
    const slot = this.columns.take()
    space.index.set(key, slot)
    this.columns.spaces[slot] = space
    this.columns.keys[slot] = key
    space.pool.items++
    return slot
  }

  #replace (slot: number, strategy: number, { namespace, key, size, expiresAt }: Indexed, removed: Removed[]): void {
    const { pool } = this.columns.spaces[slot] as Space
    const old = this.columns.strategies[slot] as number
    const growth = size - (this.columns.sizes[slot] as number)
    if (old === strategy) {
      pool.replace(slot, strategy, expiresAt, true)
      for (;;) {
        if (!isOver(pool, growth, 0)) return
        const victim = pool.ownVictim(strategy)
        if (victim === slot) break
        this.#evict(victim, removed)
      }
    }
    // Out of its segment while room is made, so that it cannot be the victim of its own growth.
    pool.forget(slot, old, false)
    this.#makeRoom(pool, growth, 0, strategy, removed)
    pool.admit(slot, strategy, expiresAt, namespace, key)
  }

  #write (slot: number, strategy: number, entry: Indexed): void {
    const { columns } = this
    const space = columns.spaces[slot] as Space
    const growth = entry.size - (columns.sizes[slot] as number)
    space.bytes += growth
    space.pool.bytes += growth
    columns.sizes[slot] = entry.size
    columns.versions[slot] = entry.version
    columns.stamps[slot] = entry.stamp
    columns.orders[slot] = entry.order
    columns.expiresAt[slot] = entry.expiresAt
    columns.goneAt[slot] = entry.goneAt
    columns.accessedAt[slot] = entry.accessedAt
    columns.used[slot] = entry.used
    columns.reads[slot] = entry.reads
    columns.uses[slot] = entry.uses
    columns.strategies[slot] = strategy
    columns.flags[slot] = ((columns.flags[slot] as number) & AMENDED) | (entry.apart ? APART : 0)
    if (entry.tags.length === 0) columns.tags.delete(slot)
    else columns.tags.set(slot, entry.tags)
  }

  #tally (slot: number, sign: 1 | -1): void {
    const { spaces, keys, versions, expiresAt, goneAt } = this.columns
    this.#tallies?.entry({
      namespace: (spaces[slot] as Space).name,
      key: keys[slot] as string,
      version: versions[slot] as number,
      expiresAt: expiresAt[slot] as number,
      goneAt: goneAt[slot] as number
    }, sign)
  }

  #makeRoom (pool: Segments, bytes: number, items: number, strategy: number, removed: Removed[]): void {
    while (isOver(pool, bytes, items)) {
      const victim = pool.victim(strategy)
      if (victim === -1) return
      this.#evict(victim, removed)
    }
  }

  #evict (victim: number, removed: Removed[]): void {
    if (!this.isGone(victim)) this.#removals.of((this.columns.spaces[victim] as Space).name).evictions++
    removed.push(this.#remove(victim, true))
  }

  #remove (slot: number, evicted: boolean): Removed {
    const { columns } = this
    this.#tally(slot, -1)
    const space = columns.spaces[slot] as Space
    const key = columns.keys[slot] as string
    const removed = { namespace: space.name, key, ...this.parts(slot) }
    const { pool } = space
    const size = columns.sizes[slot] as number
    space.index.delete(key)
    if (space.index.size === 0) this.#spaces.delete(space.name)
    pool.forget(slot, columns.strategies[slot] as number, evicted)
    pool.items--
    pool.bytes -= size
    space.bytes -= size
    columns.release(slot)
    return removed
  }
}

/** Whether a pool that got so much more would hold too much. */
const isOver = (pool: Segments, bytes: number, items: number): boolean => pool.bytes + bytes > pool.maxMemory || pool.items + items > pool.maxItems
