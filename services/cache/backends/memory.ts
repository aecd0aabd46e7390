import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Now } from '../clock.js'
import { DecodedValues } from '../decoded.js'
import { DATA_TYPES, type DataType, type Entry, goneAfterSoft, NO_TAGS, policyOf, sizeOf, STRATEGIES, type StoredEntry } from '../entry.js'
import { EntryTooLargeError, InvalidCursorError } from '../errors.js'
import { compileGlob, type Matcher } from '../glob.js'
import type { Ledger, NamespaceLedger } from '../ledger.js'
import type { Limits } from '../limits.js'
import { hashKey } from '../policies/hash.js'
import { policies } from '../policies/index.js'
import type { Policy } from '../policies/policy.js'
import { CountersByNamespace } from '../statistics.js'
import type { Content } from '../reading.js'
import { formatVersion } from '../version.js'
import type { ListQuery, Listing } from './backend.js'
import { Slots } from './slots.js'

/** How long a pass over the entries runs before it lets others have the event loop, in milliseconds. */
const SLICE = 4
/** Entries between two looks at the clock. */
const STRIDE = 256
/** Slots of a portion, and about the bytes of the entries in one. */
const PORTION = 1024
const PORTION_BYTES = 1024 * 1024

/** One namespace: its index and its invalidations. */
interface Space { readonly name: string, readonly index: Map<string, number>, readonly ledger: NamespaceLedger, bytes: number }

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
 * nobody touches.
 */
export class MemoryBackend {
  readonly name = 'memory'
  readonly #removals = new CountersByNamespace<MemoryCounters>(() => ({ evictions: 0, expirations: 0 }))
  #now: Now
  #limits: Limits
  #ledger: Ledger
  #spaces = new Map<string, Space>()
  /** The namespace that was read last: nearly always the one that is read next. */
  #lastSpace: Space | undefined
  #slots: Slots<Space>
  #decoded: DecodedValues
  /** By strategy, from its first entry on: each takes memory for every slot there is. */
  #policies: (Policy | undefined)[] = STRATEGIES.map(() => undefined)
  #populations = STRATEGIES.map(() => 0)
  #items = 0
  #bytes = 0
  #pass: Promise<void> | undefined
  #nextPass: Promise<void> | undefined

  constructor ({ now, limits, ledger }: MemoryOptions) {
    this.#now = now
    this.#limits = limits
    this.#ledger = ledger
    this.#decoded = new DecodedValues(limits.maxMemory)
    this.#slots = new Slots((capacity) => { for (const policy of new Set(this.#policies)) policy?.resize(capacity) })
  }

  get items (): number { return this.#items }
  get bytes (): number { return this.#bytes }

  /** What left since the start, from one namespace or from all. */
  counters (namespace?: string): MemoryCounters { return this.#removals.read(namespace) }

  /** Entries and bytes of one namespace. */
  usage (namespace: string): { items: number, bytes: number } {
    const space = this.#spaces.get(namespace)
    return space === undefined ? { items: 0, bytes: 0 } : { items: space.index.size, bytes: space.bytes }
  }

  /** Whether anything is held in a namespace. */
  holds (namespace: string): boolean { return this.#spaces.has(namespace) }

  /** The largest entry that fits, in bytes. */
  get maxMemory (): number { return this.#limits.maxMemory }

  /**
   * Where an entry is, -1 when it is not there. It may be stale (past its TTL, within its grace).
   * The slot is good until the next call that writes.
   */
  find (namespace: string, key: string): number {
    const space = this.#spaces.get(namespace)
    if (space === undefined) return -1
    const slot = space.index.get(key)
    if (slot === undefined) return -1
    return this.#stands(slot, space) ? slot : -1
  }

  /** The same for an entry that is fresh, in one go, with the read counted: -1 when there is no such one. */
  hit (namespace: string, key: string): number {
    let space = this.#lastSpace
    if (space === undefined || space.name !== namespace) {
      space = this.#spaces.get(namespace)
      if (space === undefined) return -1
      this.#lastSpace = space
    }
    const slot = space.index.get(key)
    if (slot === undefined) return -1
    const slots = this.#slots
    const now = this.#now()
    if (slots.expiresAt[slot] as number <= now) return -1
    if (slots.checked[slot] as number < space.ledger.revision && !(this.#stands(slot, space) && this.isFresh(slot))) return -1
    slots.accessedAt[slot] = now
    slots.accessCounts[slot]!++
    this.#policies[slots.strategies[slot] as number]!.touch(slot)
    return slot
  }

  isFresh (slot: number): boolean { return (this.#slots.expiresAt[slot] as number) > this.#now() }

  /** Counts a read of the entry for its policy and its own statistics. */
  touch (slot: number): void {
    const slots = this.#slots
    slots.accessedAt[slot] = this.#now()
    slots.accessCounts[slot]!++
    this.#policies[slots.strategies[slot] as number]!.touch(slot)
  }

  /** The entry at a slot, as it is now. */
  entry (slot: number): Entry {
    const slots = this.#slots
    const extras = slots.extras[slot]
    return {
      namespace: (slots.spaces[slot] as Space).name,
      key: slots.keys[slot] as string,
      value: slots.values[slot] as string | Buffer,
      dataType: DATA_TYPES[slots.dataTypes[slot] as number]!,
      tags: extras === undefined ? NO_TAGS : extras.tags,
      metadata: extras?.metadata,
      strategy: STRATEGIES[slots.strategies[slot] as number]!,
      createdAt: slots.createdAt[slot] as number,
      accessedAt: slots.accessedAt[slot] as number,
      accessCount: slots.accessCounts[slot] as number,
      expiresAt: slots.expiresAt[slot] as number,
      goneAt: slots.goneAt[slot] as number,
      version: formatVersion(slots.versions[slot] as number),
      size: extras?.storedLength === undefined
        ? slots.sizes[slot] as number
        : slots.sizes[slot] as number - (slots.values[slot] as string | Buffer).length + extras.storedLength
    }
  }

  stored (slot: number): StoredEntry {
    const slots = this.#slots
    const entry = { ...this.entry(slot), version: slots.versions[slot] as number, stamp: slots.stamps[slot] as number }
    const storedLength = slots.extras[slot]?.storedLength
    return storedLength === undefined ? entry : { ...entry, storedLength }
  }

  /** What a reading tells of the entry at a slot: a few facts cost a fraction of all. */
  content (slot: number): Content {
    const slots = this.#slots
    return {
      value: slots.values[slot] as string | Buffer,
      version: slots.versions[slot] as number,
      createdAt: slots.createdAt[slot] as number,
      expiresAt: slots.expiresAt[slot] as number
    }
  }

  /** The value at a slot, decoded: a copy of the caller's own. */
  value (slot: number): unknown {
    const copy = this.#decoded.copy(slot)
    return copy === undefined ? this.#decoded.decode(slot, this.#slots.values[slot] as string | Buffer) : copy
  }

  /** The same as one that all share and nobody can change. */
  shared (slot: number): Promise<unknown> { return this.#decoded.shared(slot, this.#slots.values[slot] as string | Buffer) }

  versionAt (slot: number): number { return this.#slots.versions[slot] as number }

  /**
   * Stores an entry, evicting others as the limits demand; the segment of the entry's own strategy gives first.
   * @throws EntryTooLargeError when it can never fit; nothing changes then
   */
  put (entry: StoredEntry): number {
    const size = sizeOf(entry.key, entry.value, entry.tags, entry.metadata)
    if (size > this.#limits.maxMemory) throw new EntryTooLargeError(size, this.#limits.maxMemory)
    const strategy = STRATEGIES.indexOf(entry.strategy)
    const space = this.#space(entry.namespace)
    let slot = space.index.get(entry.key)
    if (slot === undefined) {
      this.#makeRoom(size, 1, strategy)
      slot = this.#slots.take()
      space.index.set(entry.key, slot)
      this.#slots.spaces[slot] = space
      this.#slots.keys[slot] = entry.key
      this.#items++
      this.#populations[strategy]!++
      this.#admit(slot, this.#policy(strategy), entry.expiresAt)
    } else {
      this.#replace(slot, strategy, size, entry.expiresAt)
    }
    this.#write(slot, strategy, size, entry)
    // Making room may have emptied this very namespace, and dropped it.
    this.#spaces.set(space.name, space)
    return slot
  }

  /** Changes when an entry expires, and nothing else. */
  expire (slot: number, expiresAt: number, goneAt: number): void {
    this.#slots.expiresAt[slot] = expiresAt
    this.#slots.goneAt[slot] = goneAt
    this.#policies[this.#slots.strategies[slot] as number]!.replace(slot, expiresAt, false)
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
    if (slot !== -1 && this.#slots.stamps[slot] as number < stamp) this.#release(slot)
  }

  /** Drops everything at once. */
  reset (): void {
    for (let slot = 0; slot < this.#slots.high; slot++) if (this.#slots.spaces[slot] !== undefined) this.#release(slot)
  }

  /** Takes new limits; evicts until they hold. */
  configure (limits: Limits): void {
    this.#limits = limits
    this.#decoded.configure(limits.maxMemory)
    this.#makeRoom(0, 0, 0)
  }

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
  async list (namespace: string, { pattern, limit, offset = 0, cursor }: ListQuery): Promise<Listing> {
    const space = this.#spaces.get(namespace)
    if (cursor !== undefined && !/^[0-9a-z]{1,7}$/.test(cursor)) throw new InvalidCursorError()
    const after = cursor === undefined ? -1 : Number.parseInt(cursor, 36)
    const found: { slot: number, key: string }[] = []
    let total = 0
    let more = false
    if (space !== undefined) {
      const matches: Matcher = pattern === undefined ? () => true : compileGlob(pattern)
      // By slot, because an entry keeps its slot while it lives: a page boundary loses none and repeats none.
      const slots = Int32Array.from(space.index.values()).sort()
      await this.#sliced(slots.length, (at) => {
        const slot = slots[at] as number
        if (this.#slots.spaces[slot] !== space) return
        if (!matches(this.#slots.keys[slot] as string) || !this.#stands(slot, space) || !this.isFresh(slot)) return
        total++
        if (slot <= after || (cursor === undefined && total <= offset)) return
        if (found.length < limit) found.push({ slot, key: this.#slots.keys[slot] as string })
        else more = true
      })
    }
    // Meanwhile entries may have left, and others may have come into their slots.
    const entries = found.filter(({ slot, key }) => space?.index.get(key) === slot).map(({ slot }) => this.entry(slot))
    return { total, entries, cursor: more ? found.at(-1)?.slot.toString(36) : undefined }
  }

  /**
   * Shows every entry once, without touching it, in slices of a few milliseconds. What is written meanwhile may be missed, and
   * what has expired or fallen to an invalidation may be shown.
   * @param look must not write to the cache
   */
  async visit (look: (entry: VisitedEntry) => void): Promise<void> {
    const slots = this.#slots
    await this.#sliced(slots.high, (slot) => {
      const space = slots.spaces[slot]
      if (space === undefined) return
      look({
        namespace: space.name,
        key: slots.keys[slot] as string,
        dataType: DATA_TYPES[slots.dataTypes[slot] as number]!,
        size: slots.sizes[slot] as number,
        createdAt: slots.createdAt[slot] as number,
        expiresAt: slots.expiresAt[slot] as number,
        accessCount: slots.accessCounts[slot] as number
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
    const { spaces, keys, high } = this.#slots
    const end = Math.min(high, from + PORTION)
    const entries: StoredEntry[] = []
    let bytes = 0
    let slot = from
    for (; slot < end && bytes < PORTION_BYTES; slot++) {
      const space = spaces[slot]
      if (space === undefined || (namespace !== undefined && space.name !== namespace) || !matches(keys[slot] as string)) continue
      if (!this.#stands(slot, space) || !this.isFresh(slot)) continue
      entries.push(this.stored(slot))
      bytes += this.#slots.sizes[slot] as number
    }
    return { entries, next: slot < high ? slot : -1 }
  }

  #space (name: string): Space {
    let space = this.#spaces.get(name)
    if (space === undefined) {
      space = { name, index: new Map(), ledger: this.#ledger.namespace(name), bytes: 0 }
      this.#spaces.set(name, space)
    }
    return space
  }

  /** Whether the entry still stands; drops it when it does not. */
  #stands (slot: number, space: Space): boolean {
    const slots = this.#slots
    if (slots.goneAt[slot] as number <= this.#now()) {
      this.#removals.of(space.name).expirations++
      this.#release(slot)
      return false
    }
    if (slots.checked[slot] as number < space.ledger.revision) return this.#passes(slot, space)
    return true
  }

  /** Holds the entry against the invalidations that came since it was last held against them. */
  #passes (slot: number, space: Space): boolean {
    const slots = this.#slots
    const marker = space.ledger.verdict(
      slots.keys[slot] as string, slots.extras[slot]?.tags ?? NO_TAGS, slots.stamps[slot] as number, slots.checked[slot] as number)
    slots.checked[slot] = space.ledger.revision
    if (marker === undefined) return true
    if (this.isFresh(slot)) marker.removed++
    const times = { expiresAt: slots.expiresAt[slot] as number, goneAt: slots.goneAt[slot] as number }
    if (marker.soft && times.goneAt !== times.expiresAt) {
      this.expire(slot, Math.min(times.expiresAt, this.#now()), goneAfterSoft(times, this.#now()))
      return true
    }
    this.#release(slot)
    return false
  }

  #policy (strategy: number): Policy {
    let policy = this.#policies[strategy]
    if (policy === undefined) {
      const name = policyOf(STRATEGIES[strategy]!)
      const own = STRATEGIES.indexOf(name)
      if (own === strategy) {
        policy = new policies[name]()
        policy.resize(this.#slots.capacity)
      } else {
        policy = this.#policy(own)
      }
      this.#policies[strategy] = policy
    }
    return policy
  }

  #replace (slot: number, strategy: number, size: number, expiresAt: number): void {
    const old = this.#slots.strategies[slot] as number
    const growth = size - (this.#slots.sizes[slot] as number)
    const policy = this.#policy(strategy)
    if (old === strategy) {
      policy.replace(slot, expiresAt, true)
      while (this.#isOver(growth, 0) && policy.victim() !== slot) this.#evict(policy.victim())
      if (!this.#isOver(growth, 0)) return
    }
    // Out of its policy while room is made, so that it cannot be the victim of its own growth.
    this.#policies[old]!.forget(slot, false)
    this.#populations[old]!--
    this.#makeRoom(growth, 0, strategy)
    this.#admit(slot, policy, expiresAt)
    this.#populations[strategy]!++
  }

  #admit (slot: number, policy: Policy, expiresAt: number): void {
    const { keys, spaces } = this.#slots
    const hash = policy.usesHash === true ? hashKey(keys[slot] as string, hashKey((spaces[slot] as Space).name)) : 0
    policy.admit(slot, expiresAt, hash)
  }

  #write (slot: number, strategy: number, size: number, entry: StoredEntry): void {
    const slots = this.#slots
    const space = slots.spaces[slot] as Space
    const growth = size - (slots.sizes[slot] as number)
    this.#bytes += growth
    space.bytes += growth
    slots.values[slot] = entry.value
    this.#decoded.drop(slot)
    const { tags, metadata, storedLength } = entry
    slots.extras[slot] = tags.length === 0 && metadata === undefined && storedLength === undefined ? undefined : { tags, metadata, storedLength }
    slots.versions[slot] = entry.version
    slots.stamps[slot] = entry.stamp
    slots.createdAt[slot] = entry.createdAt
    slots.accessedAt[slot] = entry.accessedAt
    slots.accessCounts[slot] = entry.accessCount
    slots.expiresAt[slot] = entry.expiresAt
    slots.goneAt[slot] = entry.goneAt
    slots.sizes[slot] = size
    // Not "now": the ledger may hold markers newer than the stamp of a value that was loaded elsewhere.
    slots.checked[slot] = 0
    slots.strategies[slot] = strategy
    slots.dataTypes[slot] = DATA_TYPES.indexOf(entry.dataType)
  }

  #release (slot: number, evicted = false): void {
    const slots = this.#slots
    const space = slots.spaces[slot] as Space
    const strategy = slots.strategies[slot] as number
    space.index.delete(slots.keys[slot] as string)
    this.#policies[strategy]!.forget(slot, evicted)
    this.#populations[strategy]!--
    this.#items--
    this.#bytes -= slots.sizes[slot] as number
    space.bytes -= slots.sizes[slot] as number
    slots.sizes[slot] = 0
    slots.release(slot)
    this.#decoded.drop(slot)
    if (space.index.size === 0) {
      this.#spaces.delete(space.name)
      this.#lastSpace = undefined
    }
  }

  #makeRoom (bytes: number, items: number, strategy: number): void {
    while (this.#isOver(bytes, items)) {
      let victim = this.#policies[strategy]?.victim() ?? -1
      if (victim === -1) victim = this.#policies[this.#populations.indexOf(Math.max(...this.#populations))]?.victim() ?? -1
      if (victim === -1) return
      this.#evict(victim)
    }
  }

  #isOver (bytes: number, items: number): boolean {
    return this.#bytes + bytes > this.#limits.maxMemory || this.#items + items > this.#limits.maxItems
  }

  #evict (victim: number): void {
    const removals = this.#removals.of((this.#slots.spaces[victim] as Space).name)
    if (this.#slots.goneAt[victim] as number > this.#now()) removals.evictions++
    else removals.expirations++
    this.#release(victim, true)
  }

  async #sweepOnce (): Promise<void> {
    const slots = this.#slots
    await this.#sliced(slots.high, (slot) => {
      const space = slots.spaces[slot]
      if (space !== undefined) this.#stands(slot, space)
    })
  }

  async #sliced (length: number, visit: (at: number) => void): Promise<void> {
    let until = performance.now() + SLICE
    for (let at = 0; at < length; at++) {
      visit(at)
      if (at % STRIDE === STRIDE - 1 && performance.now() > until) {
        await nextTurn()
        until = performance.now() + SLICE
      }
    }
  }
}
