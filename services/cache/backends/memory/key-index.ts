import { placeOf, Rows } from '../../rows.js'
import type { Slots } from './slots.js'

/** Entries per bucket, on average, above which there is to be one more bucket. */
const LOAD = 0.75
const NONE = -1

/**
 * Finds the slot of a key. A hash table whose buckets are chains through the slots themselves. It grows by one bucket at a time
 * (linear hashing: Litwin, "Linear Hashing: A New Tool for File and Table Addressing", VLDB 1980), so that no write ever waits for
 * a million entries to be placed anew, and so that it takes no more memory than it needs: five bytes an entry.
 */
export class KeyIndex {
  /** The first slot of each bucket. */
  #heads = new Rows(0)
  #buckets = 0
  /** The buckets at the last doubling, a power of two; those below `#buckets - #base` have been divided since. */
  #base = 16
  #mask = 31
  #entries = 0
  #slots: Slots

  constructor (slots: Slots) {
    this.#slots = slots
    while (this.#buckets < this.#base) this.#addBucket()
  }

  /** -1 when the key is not there. */
  find (space: number, key: string, hash: number): number {
    // Written out: this is most of what a look-up costs.
    let bucket = hash & this.#mask
    if (bucket >= this.#buckets) bucket &= this.#mask >>> 1
    return this.#slots.seek(this.#heads.chunk(bucket)[placeOf(bucket)] as number, hash, space, key)
  }

  /** @param slot holds a key that is not in the index */
  add (slot: number): void {
    this.#push(slot)
    if (++this.#entries > this.#buckets * LOAD) this.#grow()
  }

  remove (slot: number): void {
    const slots = this.#slots
    const bucket = this.#bucketOf(slots.hash(slot))
    const next = slots.chain(slot)
    let before = this.#heads.get(bucket, 0)
    this.#entries--
    if (before === slot) {
      this.#heads.set(bucket, 0, next)
      return
    }
    while (slots.chain(before) !== slot) before = slots.chain(before)
    slots.setChain(before, next)
  }

  #bucketOf (hash: number): number {
    const bucket = hash & this.#mask
    return bucket < this.#buckets ? bucket : bucket & (this.#mask >>> 1)
  }

  #push (slot: number): void {
    const bucket = this.#bucketOf(this.#slots.hash(slot))
    this.#slots.setChain(slot, this.#heads.get(bucket, 0))
    this.#heads.set(bucket, 0, slot)
  }

  /** One bucket more: the entries of the one that it divides part over the two. */
  #grow (): void {
    if (this.#buckets === 2 * this.#base) {
      this.#base *= 2
      this.#mask = 2 * this.#base - 1
    }
    const divided = this.#buckets - this.#base
    let slot = this.#heads.get(divided, 0)
    this.#heads.set(divided, 0, NONE)
    this.#addBucket()
    while (slot !== NONE) {
      const next = this.#slots.chain(slot)
      this.#push(slot)
      slot = next
    }
  }

  #addBucket (): void {
    if (this.#buckets === this.#heads.capacity) this.#heads.resize(this.#buckets + 1)
    this.#heads.set(this.#buckets++, 0, NONE)
  }
}
