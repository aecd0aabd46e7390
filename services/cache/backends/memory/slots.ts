import { DATA_TYPES, type EncodedValue, type Entry, NO_TAGS, type StoredEntry, STRATEGIES } from '../../entry.js'
import type { Content } from '../../reading.js'
import { CHUNK, chunkOf, placeOf, Rows } from '../../rows.js'
import { formatVersion } from '../../version.js'

/** The words of a row, as a power of two. */
const SHIFT = 4
/**
 * The words of a slot's row. Sixteen, as many bytes as a line of the processor's cache; where chunks do not begin with one, a row lies in
 * two. So what a hit needs comes first, in eight words together.
 */
const ACCESSED_LOW = 0
const EXPIRES_LOW = 1
/** The upper 16 bits of two numbers of 48. */
const ACCESSED_AND_EXPIRES = 2
/** 21 bits of the version; above them strategy (4), data type (3), and the four below. */
const VERSION_HIGH = 3
const SPACE = 4
const ACCESS_COUNT = 5
const PREVIOUS = 6
const NEXT = 7
const CHECKED = 8
const HASH = 9
/** The next slot with the same place in the index, or the next free one. */
const CHAIN = 10
const SIZE = 11
const VERSION_LOW = 12
const STAMP_LOW = 13
const CREATED_LOW = 14
const STAMP_AND_CREATED = 15

const VERSION_BITS = 21
const VERSION_MASK = (1 << VERSION_BITS) - 1
const HAS_EXTRAS = 1 << 28
const HAS_GRACE = 1 << 29
const IN_OWN_POOL = 1 << 30
/** The highest bit: what has it is negative. */
const IS_DECODED = 1 << 31

const HALF = 2 ** 32
/** The largest number in 48 bits; as a time, never. */
const MOST = 2 ** 48 - 1
const NOWHERE = -1
/** Revisions of the ledger that are told apart. */
const REVISIONS = 2 ** 32 - 1

/** The words that eviction policies use. */
export const POLICY_WORDS = { previous: PREVIOUS, next: NEXT, hash: HASH }

/** What only some entries have, with the value: so that others pay nothing for it. */
export class Extras {
  readonly value: EncodedValue
  readonly tags: readonly string[]
  readonly metadata: string | undefined
  /** See `StoredEntry`. */
  readonly storedLength: number | undefined

  constructor ({ value, tags, metadata, storedLength }: StoredEntry) {
    this.value = value
    this.tags = tags
    this.metadata = metadata
    this.storedLength = storedLength
  }
}

/**
 * The entries of the memory backend. An entry is a slot, a small number: it costs a row of 64 bytes, the references to its key and
 * its value, and no object of its own, which is what keeps a million small entries small. Times are whole milliseconds since the
 * epoch, in 48 bits; stamps have 48 bits, too, versions 53.
 */
export class Slots {
  /** Slots below this one have been in use. */
  high = 0
  readonly rows = new Rows(SHIFT)
  #keys: string[][] = []
  #values: (EncodedValue | Extras)[][] = []
  /** For chunks with an entry that has a grace. */
  #goneAt: (Float64Array<ArrayBuffer> | undefined)[] = []
  #free = NOWHERE
  /** What `CHECKED` counts from. */
  #firstRevision = 0
  #onGrow: (capacity: number) => void

  /** @param onGrow told of the new capacity, before a slot beyond the old one is given out */
  constructor (onGrow: (capacity: number) => void) { this.#onGrow = onGrow }

  /** A slot for an entry, free until its space is set. */
  take (key: string, hash: number, space: number): number {
    const slot = this.#next()
    this.#set(slot, HASH, hash)
    this.#set(slot, SPACE, space)
    this.#set(slot, SIZE, 0)
    this.#set(slot, VERSION_HIGH, 0)
    this.#keys[chunkOf(slot)]![placeOf(slot)] = key
    return slot
  }

  release (slot: number): void {
    this.#keys[chunkOf(slot)]![placeOf(slot)] = ''
    this.#values[chunkOf(slot)]![placeOf(slot)] = ''
    this.#set(slot, SPACE, NOWHERE)
    this.#set(slot, CHAIN, this.#free)
    this.#free = slot
  }

  /** The first slot with this key in a chain, -1 when there is none. */
  seek (first: number, hash: number, space: number, key: string): number {
    let slot = first
    while (slot !== NOWHERE) {
      const row = this.rows.chunk(slot)
      const at = placeOf(slot) << SHIFT
      if (row[at + HASH] === hash && row[at + SPACE] === space && this.#keys[chunkOf(slot)]![placeOf(slot)] === key) return slot
      slot = row[at + CHAIN] as number
    }
    return slot
  }

  /** Whether the slot has this key. */
  holds (slot: number, space: number, key: string): boolean {
    return this.#word(slot, SPACE) === space && this.#keys[chunkOf(slot)]![placeOf(slot)] === key
  }

  /** The number of the namespace; -1 when the slot is free. */
  space (slot: number): number { return this.#word(slot, SPACE) }
  key (slot: number): string { return this.#keys[chunkOf(slot)]![placeOf(slot)] as string }
  hash (slot: number): number { return this.#word(slot, HASH) }
  chain (slot: number): number { return this.#word(slot, CHAIN) }
  setChain (slot: number, next: number): void { this.#set(slot, CHAIN, next) }
  size (slot: number): number { return this.#word(slot, SIZE) >>> 0 }
  accessCount (slot: number): number { return this.#word(slot, ACCESS_COUNT) >>> 0 }
  /** The strategy's place among STRATEGIES. */
  strategy (slot: number): number { return (this.#word(slot, VERSION_HIGH) >>> VERSION_BITS) & 15 }
  /** The data type's place among DATA_TYPES. */
  dataType (slot: number): number { return (this.#word(slot, VERSION_HIGH) >>> (VERSION_BITS + 4)) & 7 }
  version (slot: number): number { return (this.#word(slot, VERSION_HIGH) & VERSION_MASK) * HALF + (this.#word(slot, VERSION_LOW) >>> 0) }
  stamp (slot: number): number { return (this.#word(slot, STAMP_AND_CREATED) >>> 16) * HALF + (this.#word(slot, STAMP_LOW) >>> 0) }
  createdAt (slot: number): number { return (this.#word(slot, STAMP_AND_CREATED) & 0xffff) * HALF + (this.#word(slot, CREATED_LOW) >>> 0) }
  accessedAt (slot: number): number { return (this.#word(slot, ACCESSED_AND_EXPIRES) >>> 16) * HALF + (this.#word(slot, ACCESSED_LOW) >>> 0) }
  tags (slot: number): readonly string[] { return this.#extras(slot)?.tags ?? NO_TAGS }
  /** See `StoredEntry`. */
  storedLength (slot: number): number | undefined { return this.#extras(slot)?.storedLength }

  /** The ledger's revision at which the entry was last held against it, 0 for never. */
  checked (slot: number): number {
    const relative = this.#word(slot, CHECKED) >>> 0
    return relative === 0 ? 0 : relative + this.#firstRevision
  }

  setChecked (slot: number, revision: number): void {
    if (revision - this.#firstRevision > REVISIONS) {
      // To hold an entry against an invalidation once more does no harm.
      this.#firstRevision = revision - 1
      this.rows.fill(CHECKED, 0)
    }
    this.#set(slot, CHECKED, Math.max(1, revision - this.#firstRevision))
  }

  /** Whether the entry counts against the pool of its namespace, not against that of all others. */
  isInOwnPool (slot: number): boolean { return (this.#word(slot, VERSION_HIGH) & IN_OWN_POOL) !== 0 }
  setInOwnPool (slot: number, isInOwn: boolean): void { this.#flag(slot, IN_OWN_POOL, isInOwn) }

  /** Whether the value is held decoded. Writing over it takes that back. */
  isDecoded (slot: number): boolean { return this.#word(slot, VERSION_HIGH) < 0 }
  setDecoded (slot: number, isDecoded: boolean): void { this.#flag(slot, IS_DECODED, isDecoded) }

  /** Whether the entry expires after that time. */
  isFresh (slot: number, now: number): boolean {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    const high = (row[at + ACCESSED_AND_EXPIRES] as number) & 0xffff
    const nowHigh = (now / HALF) | 0
    return high === nowHigh ? (row[at + EXPIRES_LOW] as number) >>> 0 > now >>> 0 : high > nowHigh
  }

  /** Infinity when never. */
  expiresAt (slot: number): number {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    const time = ((row[at + ACCESSED_AND_EXPIRES] as number) & 0xffff) * HALF + ((row[at + EXPIRES_LOW] as number) >>> 0)
    return time === MOST ? Infinity : time
  }

  /** When the entry is gone for good, past its grace. */
  goneAt (slot: number): number {
    if ((this.#word(slot, VERSION_HIGH) & HAS_GRACE) === 0) return this.expiresAt(slot)
    return this.#goneAt[chunkOf(slot)]![placeOf(slot)] as number
  }

  value (slot: number): EncodedValue {
    const value = this.#values[chunkOf(slot)]![placeOf(slot)] as EncodedValue | Extras
    return typeof value === 'string' || !(value instanceof Extras) ? value : value.value
  }

  /** What a reading tells of the entry: a few facts cost a fraction of all. */
  content (slot: number): Content {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    const value = this.#values[chunkOf(slot)]![placeOf(slot)] as EncodedValue | Extras
    const flags = row[at + VERSION_HIGH] as number
    const expires = ((row[at + ACCESSED_AND_EXPIRES] as number) & 0xffff) * HALF + ((row[at + EXPIRES_LOW] as number) >>> 0)
    return {
      value: (flags & HAS_EXTRAS) === 0 ? value as EncodedValue : (value as Extras).value,
      version: (flags & VERSION_MASK) * HALF + ((row[at + VERSION_LOW] as number) >>> 0),
      createdAt: ((row[at + STAMP_AND_CREATED] as number) & 0xffff) * HALF + ((row[at + CREATED_LOW] as number) >>> 0),
      expiresAt: expires === MOST ? Infinity : expires
    }
  }

  /** All that is told of an entry; named one by one, and read from the row at once: this is most of what a hit costs. */
  entry (slot: number, namespace: string): Entry {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    const flags = row[at + VERSION_HIGH] as number
    const stampAndCreated = row[at + STAMP_AND_CREATED] as number
    const accessedAndExpires = row[at + ACCESSED_AND_EXPIRES] as number
    const expires = (accessedAndExpires & 0xffff) * HALF + ((row[at + EXPIRES_LOW] as number) >>> 0)
    const expiresAt = expires === MOST ? Infinity : expires
    const value = this.#values[chunkOf(slot)]![placeOf(slot)] as EncodedValue | Extras
    const extras = (flags & HAS_EXTRAS) === 0 ? undefined : value as Extras
    return {
      namespace,
      key: this.#keys[chunkOf(slot)]![placeOf(slot)] as string,
      value: extras === undefined ? value as EncodedValue : extras.value,
      dataType: DATA_TYPES[(flags >>> (VERSION_BITS + 4)) & 7]!,
      tags: extras === undefined ? NO_TAGS : extras.tags,
      metadata: extras === undefined ? undefined : extras.metadata,
      strategy: STRATEGIES[(flags >>> VERSION_BITS) & 15]!,
      createdAt: (stampAndCreated & 0xffff) * HALF + ((row[at + CREATED_LOW] as number) >>> 0),
      accessedAt: (accessedAndExpires >>> 16) * HALF + ((row[at + ACCESSED_LOW] as number) >>> 0),
      accessCount: (row[at + ACCESS_COUNT] as number) >>> 0,
      expiresAt,
      goneAt: (flags & HAS_GRACE) === 0 ? expiresAt : this.#goneAt[chunkOf(slot)]![placeOf(slot)] as number,
      version: formatVersion((flags & VERSION_MASK) * HALF + ((row[at + VERSION_LOW] as number) >>> 0)),
      size: extras === undefined ? (row[at + SIZE] as number) >>> 0 : storedSize((row[at + SIZE] as number) >>> 0, extras)
    }
  }

  /** Puts an entry into the slot, over what was there; it is in the same pool as before, and is held against no invalidation yet. */
  write (slot: number, entry: StoredEntry, size: number, itsStamp = entry.stamp): void {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    const { version, expiresAt, goneAt } = entry
    const isPlain = entry.tags.length === 0 && entry.metadata === undefined && entry.storedLength === undefined
    this.#values[chunkOf(slot)]![placeOf(slot)] = isPlain ? entry.value : new Extras(entry)
    const stamp = bounded(itsStamp)
    const created = bounded(entry.createdAt)
    const accessed = bounded(entry.accessedAt)
    const expires = wholeUp(expiresAt)
    // A word takes the lower 32 bits of what is assigned to it, without a fraction.
    row[at + VERSION_LOW] = version
    row[at + VERSION_HIGH] = (version / HALF) | (STRATEGIES.indexOf(entry.strategy) << VERSION_BITS) |
      (DATA_TYPES.indexOf(entry.dataType) << (VERSION_BITS + 4)) | (isPlain ? 0 : HAS_EXTRAS) |
      (goneAt === expiresAt ? 0 : HAS_GRACE) | ((row[at + VERSION_HIGH] as number) & IN_OWN_POOL)
    row[at + STAMP_LOW] = stamp
    row[at + CREATED_LOW] = created
    row[at + STAMP_AND_CREATED] = ((stamp / HALF) << 16) | (created / HALF)
    row[at + ACCESSED_LOW] = accessed
    row[at + EXPIRES_LOW] = expires
    row[at + ACCESSED_AND_EXPIRES] = ((accessed / HALF) << 16) | (expires / HALF)
    row[at + ACCESS_COUNT] = Math.min(entry.accessCount, HALF - 1)
    row[at + SIZE] = size
    row[at + CHECKED] = 0
    if (goneAt !== expiresAt) this.#setGoneAt(slot, goneAt)
  }

  /**
   * Another read, at that time.
   * @returns what `strategyIn` and `isOwnIn` read
   */
  use (slot: number, accessedAt: number): number {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    if (row[at + ACCESS_COUNT] !== -1) row[at + ACCESS_COUNT]!++
    row[at + ACCESSED_LOW] = accessedAt
    row[at + ACCESSED_AND_EXPIRES] = ((row[at + ACCESSED_AND_EXPIRES] as number) & 0xffff) | ((accessedAt / HALF) << 16)
    return row[at + VERSION_HIGH] as number
  }

  /**
   * The same if the slot has this key, fresh and held against the invalidations up to that revision; all in one look at the row, because
   * this is what a hit consists of.
   * @returns NOT_USED otherwise
   */
  hit (slot: number, space: number, key: string, now: number, revision: number): number {
    const row = this.rows.chunk(slot)
    const at = placeOf(slot) << SHIFT
    if (row[at + SPACE] !== space || this.#keys[chunkOf(slot)]![placeOf(slot)] !== key) return NOT_USED
    const times = row[at + ACCESSED_AND_EXPIRES] as number
    const nowHigh = (now / HALF) | 0
    const expiresHigh = times & 0xffff
    if (expiresHigh === nowHigh ? (row[at + EXPIRES_LOW] as number) >>> 0 <= now >>> 0 : expiresHigh < nowHigh) return NOT_USED
    if (revision !== 0 && this.checked(slot) < revision) return NOT_USED
    const count = row[at + ACCESS_COUNT] as number
    if (count !== -1) row[at + ACCESS_COUNT] = count + 1
    row[at + ACCESSED_LOW] = now
    row[at + ACCESSED_AND_EXPIRES] = expiresHigh | (nowHigh << 16)
    return row[at + VERSION_HIGH] as number
  }

  setExpiry (slot: number, expiresAt: number, goneAt: number): void {
    const expires = wholeUp(expiresAt)
    this.#set(slot, EXPIRES_LOW, expires)
    this.#set(slot, ACCESSED_AND_EXPIRES, (this.#word(slot, ACCESSED_AND_EXPIRES) & ~0xffff) | (expires / HALF))
    this.#flag(slot, HAS_GRACE, goneAt !== expiresAt)
    if (goneAt !== expiresAt) this.#setGoneAt(slot, goneAt)
  }

  #word (slot: number, word: number): number { return this.rows.chunk(slot)[(placeOf(slot) << SHIFT) + word] as number }
  #set (slot: number, word: number, value: number): void { this.rows.chunk(slot)[(placeOf(slot) << SHIFT) + word] = value }

  #extras (slot: number): Extras | undefined {
    return (this.#word(slot, VERSION_HIGH) & HAS_EXTRAS) === 0 ? undefined : this.#values[chunkOf(slot)]![placeOf(slot)] as Extras
  }

  #flag (slot: number, flag: number, isOn: boolean): void {
    const flags = this.#word(slot, VERSION_HIGH)
    this.#set(slot, VERSION_HIGH, isOn ? flags | flag : flags & ~flag)
  }

  #setGoneAt (slot: number, goneAt: number): void {
    const chunk = chunkOf(slot)
    this.#goneAt[chunk] ??= new Float64Array(CHUNK)
    this.#goneAt[chunk][placeOf(slot)] = Math.ceil(goneAt)
  }

  #next (): number {
    const slot = this.#free
    if (slot !== NOWHERE) {
      this.#free = this.chain(slot)
      return slot
    }
    if (this.high === this.rows.capacity) this.#grow()
    return this.high++
  }

  #grow (): void {
    this.rows.resize(this.rows.capacity + 1)
    this.#onGrow(this.rows.capacity)
    while (this.#keys.length * CHUNK < this.rows.capacity) {
      const length = this.#keys.length === 0 ? 1 : CHUNK
      this.#keys.push(new Array<string>(length))
      this.#values.push(new Array<EncodedValue>(length))
    }
  }
}

/** What `Slots.hit` answers when it is none. */
export const NOT_USED = -1

/** The strategy's place among STRATEGIES, and whether the entry is in the pool of its namespace, by what `Slots.use` answers. */
export const strategyIn = (flags: number): number => (flags >>> VERSION_BITS) & 15
export const isOwnIn = (flags: number): boolean => (flags & IN_OWN_POOL) !== 0

/** What the entry counts for where it is stored. */
const storedSize = (size: number, { value, storedLength }: Extras): number => storedLength === undefined ? size : size - value.length + storedLength

/** Upwards: an entry never leaves before its time, and one that lives for less than a millisecond lives for one. */
const wholeUp = (time: number): number => bounded(Math.ceil(time))

const bounded = (number: number): number => number < 0 ? 0 : number > MOST ? MOST : number
