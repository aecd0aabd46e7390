import type { Ledger } from '../ledger.js'
import type { Policy } from '../policies/policy.js'

/** What is remembered of an entry in the sample, shared by the caches that hold it. */
export interface Facts {
  readonly namespace: string
  readonly key: string
  readonly tags: readonly string[]
  readonly size: number
  /** Milliseconds from a write to the expiry, Infinity for ever. */
  readonly lifetime: number
}

export interface MiniCacheOptions {
  /** Of its own; the cache is the only one to use it. */
  policy: Policy
  maxItems: number
  maxBytes: number
  /** The invalidations that entries are held against. */
  ledger: Ledger
}

const NONE = -1

/**
 * A cache without values: it decides what a cache of its size would hold, in columns of slots like the real one. A key is its hash.
 *
 * It follows the accesses of a real cache of another size, whose callers store what they do not find: so a read that finds an entry
 * there, and none here, stores it here; and the write that follows a read in vain there is none here if the entry was here.
 */
export class MiniCache {
  items = 0
  #bytes = 0
  readonly #policy: Policy
  readonly #maxItems: number
  readonly #maxBytes: number
  readonly #ledger: Ledger
  /** An index from hash to slot: the first slot of each bucket, and the next one of the same bucket. Free slots are chained, too. */
  readonly #first: Int32Array
  readonly #next: Int32Array
  #free = 0
  readonly #hashes: Int32Array
  readonly #facts: (Facts | undefined)[]
  readonly #expiresAt: Float64Array
  /** By the ledger: when it was written, and when it was last held against the invalidations. */
  readonly #stamps: Float64Array
  readonly #checked: Float64Array
  /** Whether the real cache did not find it when it was last read: the write that follows would not have come. */
  readonly #isAhead: Uint8Array

  constructor ({ policy, maxItems, maxBytes, ledger }: MiniCacheOptions) {
    const slots = Math.max(1, Math.ceil(maxItems))
    this.#policy = policy
    this.#maxItems = slots
    this.#maxBytes = maxBytes
    this.#ledger = ledger
    this.#first = new Int32Array(2 ** Math.ceil(Math.log2(slots + 1))).fill(NONE)
    this.#next = Int32Array.from({ length: slots }, (_, slot) => slot + 1)
    this.#hashes = new Int32Array(slots)
    this.#facts = Array.from({ length: slots }, () => undefined)
    this.#expiresAt = new Float64Array(slots)
    this.#stamps = new Float64Array(slots)
    this.#checked = new Float64Array(slots)
    this.#isAhead = new Uint8Array(slots)
    policy.resize(slots)
  }

  /**
   * A read that the real cache answered with an entry, or not.
   * @returns whether this one has it
   */
  read (hash: number, found: Facts | undefined, now: number): boolean {
    const slot = this.#standing(hash, now)
    if (slot === NONE) {
      if (found !== undefined) this.#store(hash, found, now)
      return false
    }
    this.#policy.touch(slot)
    this.#isAhead[slot] = found === undefined ? 1 : 0
    return true
  }

  write (hash: number, facts: Facts, now: number): void {
    const slot = this.#standing(hash, now)
    if (slot === NONE) {
      this.#store(hash, facts, now)
    } else if (this.#isAhead[slot] === 1) {
      this.#isAhead[slot] = 0
    } else {
      this.#replace(slot, hash, facts, now)
    }
  }

  /** Another time to live. @param expiresAt absolute, as `now` */
  expire (hash: number, now: number, expiresAt: number): void {
    const slot = this.#standing(hash, now)
    if (slot === NONE) return
    this.#expiresAt[slot] = expiresAt
    this.#policy.replace(slot, expiresAt, false)
  }

  delete (hash: number): void {
    const slot = this.#find(hash)
    if (slot !== NONE) this.#drop(slot, false)
  }

  /** Drops whatever has fallen to an invalidation, so that these can be forgotten. */
  sweep (): void {
    for (let slot = 0; slot < this.#facts.length; slot++) if (this.#facts[slot] !== undefined && !this.#passes(slot)) this.#drop(slot, false)
  }

  #standing (hash: number, now: number): number {
    const slot = this.#find(hash)
    if (slot === NONE || (this.#expiresAt[slot] as number > now && this.#passes(slot))) return slot
    this.#drop(slot, false)
    return NONE
  }

  #passes (slot: number): boolean {
    const { revision } = this.#ledger
    if (this.#checked[slot] as number >= revision) return true
    const { namespace, key, tags } = this.#facts[slot] as Facts
    const marker = this.#ledger.namespace(namespace).verdict(key, tags, this.#stamps[slot] as number, this.#checked[slot] as number)
    this.#checked[slot] = revision
    return marker === undefined
  }

  #replace (slot: number, hash: number, facts: Facts, now: number): void {
    const growth = facts.size - (this.#facts[slot] as Facts).size
    if (this.#bytes + growth > this.#maxBytes) {
      this.#drop(slot, false)
      this.#store(hash, facts, now)
      return
    }
    this.#bytes += growth
    this.#write(slot, facts, now)
    this.#policy.replace(slot, this.#expiresAt[slot] as number, true)
  }

  #store (hash: number, facts: Facts, now: number): void {
    if (facts.size > this.#maxBytes) return
    while (this.items >= this.#maxItems || this.#bytes + facts.size > this.#maxBytes) this.#drop(this.#policy.victim(), true)
    const slot = this.#free
    this.#free = this.#next[slot] as number
    const bucket = this.#bucket(hash)
    this.#next[slot] = this.#first[bucket] as number
    this.#first[bucket] = slot
    this.#hashes[slot] = hash
    this.#isAhead[slot] = 0
    this.items++
    this.#bytes += facts.size
    this.#write(slot, facts, now)
    this.#policy.admit(slot, this.#expiresAt[slot] as number, hash)
  }

  #write (slot: number, facts: Facts, now: number): void {
    this.#facts[slot] = facts
    this.#expiresAt[slot] = now + facts.lifetime
    this.#stamps[slot] = this.#ledger.stamp
    this.#checked[slot] = this.#ledger.revision
  }

  #bucket (hash: number): number { return hash & (this.#first.length - 1) }

  #find (hash: number): number {
    let slot = this.#first[this.#bucket(hash)] as number
    while (slot !== NONE && this.#hashes[slot] !== hash) slot = this.#next[slot] as number
    return slot
  }

  #drop (slot: number, evicted: boolean): void {
    const bucket = this.#bucket(this.#hashes[slot] as number)
    const next = this.#next[slot] as number
    if (this.#first[bucket] === slot) {
      this.#first[bucket] = next
    } else {
      let before = this.#first[bucket] as number
      while (this.#next[before] !== slot) before = this.#next[before] as number
      this.#next[before] = next
    }
    this.#next[slot] = this.#free
    this.#free = slot
    this.items--
    this.#bytes -= (this.#facts[slot] as Facts).size
    this.#facts[slot] = undefined
    this.#policy.forget(slot, evicted)
  }
}
