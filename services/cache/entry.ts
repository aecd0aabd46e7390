/** The kinds of value an entry can hold; `binary` travels as base64 text. */
export const DATA_TYPES = ['string', 'json', 'binary', 'number', 'boolean', 'list', 'dictionary'] as const
export type DataType = typeof DATA_TYPES[number]

/**
 * A value as JSON text, encoded once where it enters the cache and never changed afterwards. Short ASCII text stays a
 * string (fastest to write to a socket up to about 16 KB), everything else is UTF-8 bytes.
 */
export type EncodedValue = string | Buffer

/** Free-form facts about an entry, given by its writer. `tags` is the one member that the cache itself reads. */
export type Metadata = Record<string, unknown>

/** What a writer gives. */
export interface NewEntry {
  value: EncodedValue
  dataType: DataType
  /** Seconds until the entry expires; 0 never; undefined the cache's default. */
  ttl?: number | undefined
  /** Seconds past the TTL during which the value may still be served when loading a new one fails. Default 0. */
  grace?: number | undefined
  tags?: readonly string[] | undefined
  /** The metadata as JSON text (an object), or undefined for none. */
  metadata?: string | undefined
  /** The eviction policy the entry is kept under; undefined means the cache's default. */
  strategy?: Strategy | undefined
}

/** What a reader gets: a snapshot, detached from the cache. Times are milliseconds since the epoch on the cache's clock. */
export interface Entry {
  readonly namespace: string
  readonly key: string
  readonly value: EncodedValue
  readonly dataType: DataType
  readonly tags: readonly string[]
  readonly metadata: string | undefined
  readonly strategy: Strategy
  readonly createdAt: number
  readonly accessedAt: number
  /** Reads since the entry was written, this one included. */
  readonly accessCount: number
  /** When the entry goes stale; Infinity when never. */
  readonly expiresAt: number
  /** When the entry is gone for good: `expiresAt` plus its grace. */
  readonly goneAt: number
  /** Differs for every write of a key, across processes and restarts. Digits and small letters only. */
  readonly version: string
  /** Bytes counted against `max_memory`: key, value as it is stored, metadata, tags and ENTRY_OVERHEAD. */
  readonly size: number
}

/** What an entry may be kept under. Stored entries name theirs by its place here: a new one comes last. */
export const STRATEGIES = ['lru', 'lfu', 'fifo', 'ttl', 'sieve', 's3fifo', 'adaptive', 'write_through', 'write_behind'] as const
export type Strategy = typeof STRATEGIES[number]

/** Kept in memory, evicted as `lru`, and in the durable tier besides: before the answer, or soon after it. See `stores/durable-store.ts`. */
export type DurableStrategy = 'write_through' | 'write_behind'
/** The eviction policies: see `policies/`. */
export type PolicyName = Exclude<Strategy, DurableStrategy>

export const isDurable = (strategy: Strategy): strategy is DurableStrategy => strategy === 'write_through' || strategy === 'write_behind'

/** The policy that entries of a strategy are evicted by. */
export const policyOf = (strategy: Strategy): PolicyName => isDurable(strategy) ? 'lru' : strategy

export const POLICIES: readonly PolicyName[] = STRATEGIES.filter((strategy) => !isDurable(strategy))

/** What a conditional write asks of the entry that is there: nothing may be (`absent`), or exactly this version. */
export type Condition = { absent: true } | { version: string }

/** An entry as backends keep it: the snapshot's facts, with the version as a number and the stamp that invalidations are held against. */
export interface StoredEntry extends Omit<Entry, 'version' | 'size'> {
  readonly version: number
  /** The position in the order of invalidations at which the value was known to be true: a later one concerns it. See `ledger.ts`. */
  readonly stamp: number
  /** Bytes that the value takes in the backend outside the process; undefined when they are those of `value`. */
  readonly storedLength?: number | undefined
}

/** What the cache counts per entry beyond key, value and metadata, in bytes: about what the memory backend takes for one. */
export const ENTRY_OVERHEAD = 256

/**
 * The bytes an entry counts for.
 * @param value as it is stored
 */
export function sizeOf (key: string, value: { readonly length: number }, tags: readonly string[], metadata: string | undefined): number {
  let size = ENTRY_OVERHEAD + Buffer.byteLength(key) + value.length
  if (metadata !== undefined) size += Buffer.byteLength(metadata)
  for (const tag of tags) size += 16 + Buffer.byteLength(tag)
  return size
}

/** The last moment that a date can name, in the year 275 760: what never expires and has a grace is gone so long after it. */
const NEVER = 8.64e15

/**
 * When an entry is gone for good. One that never expires may fall to a soft invalidation, after which it has its grace: that is told
 * by how long after the end of time it would be gone.
 * @param grace seconds
 */
export function goneAfter (expiresAt: number, grace: number): number {
  return expiresAt === Infinity && grace > 0 ? NEVER + grace * 1000 : expiresAt + grace * 1000
}

/** Milliseconds that an entry may still be served when it is stale. */
export function graceOf ({ expiresAt, goneAt }: { expiresAt: number, goneAt: number }): number {
  if (expiresAt !== Infinity) return goneAt - expiresAt
  return goneAt === Infinity ? 0 : goneAt - NEVER
}

/** What {@link goneAfter} tells, on a clock that is so many milliseconds ahead: the end of time is the same on all. */
export function goneBy (goneAt: number, ahead: number): number { return goneAt >= NEVER ? goneAt : goneAt + ahead }

/** When an entry is gone that falls to a soft invalidation now. */
export function goneAfterSoft (entry: { expiresAt: number, goneAt: number }, now: number): number {
  return entry.expiresAt === Infinity ? now + graceOf(entry) : entry.goneAt
}

/** No tags; shared, so that entries without any pay for none. */
export const NO_TAGS: readonly string[] = Object.freeze([])
