import type { Rows } from '../rows.js'
import type { Policy } from './policy.js'
import { SlotState } from './slot-state.js'

/**
 * Least frequently used: the entry with the fewest uses since it came in is evicted, among equals the one used longest ago.
 * Constant time: slots hang in one list per use count, and those lists in one list by rising count
 * (Shah, Mitra and Matani, "An O(1) algorithm for implementing the LFU cache eviction scheme", 2010).
 */
export class LfuPolicy implements Policy {
  #state: SlotState
  /** The number of the bucket that a slot is in. */
  #bucketOf: Rows
  #buckets: (Bucket | undefined)[] = []
  #freeNumbers: number[] = []
  #lowest: Bucket | undefined

  constructor (state = new SlotState()) {
    this.#state = state
    this.#bucketOf = state.buckets
  }

  admit (slot: number): void {
    if (this.#lowest?.uses !== 1) this.#lowest = this.#insert(1, undefined, this.#lowest)
    this.#append(slot, this.#lowest)
  }

  restore (slot: number, _expiresAt: number, uses: number): void {
    if (this.#lowest?.uses !== uses) this.#lowest = this.#insert(uses, undefined, this.#lowest)
    this.#append(slot, this.#lowest)
  }

  touch (slot: number): void {
    const bucket = this.#bucket(slot)
    const above = bucket.above
    const target = above?.uses === bucket.uses + 1 ? above : this.#insert(bucket.uses + 1, bucket, above)
    this.forget(slot)
    this.#append(slot, target)
  }

  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.touch(slot) }
  victim (): number { return this.#lowest?.head ?? -1 }

  forget (slot: number): void {
    const state = this.#state
    const bucket = this.#bucket(slot)
    const next = state.next(slot)
    const previous = state.previous(slot)
    if (previous === -1) bucket.head = next
    else state.setNext(previous, next)
    if (next === -1) bucket.tail = previous
    else state.setPrevious(next, previous)
    if (bucket.head === -1) this.#drop(bucket)
  }

  resize (capacity: number): void { this.#state.resize(capacity) }

  #bucket (slot: number): Bucket { return this.#buckets[this.#bucketOf.get(slot, 0)] as Bucket }

  #append (slot: number, bucket: Bucket): void {
    const state = this.#state
    this.#bucketOf.set(slot, 0, bucket.number)
    state.setPrevious(slot, bucket.tail)
    state.setNext(slot, -1)
    if (bucket.tail === -1) bucket.head = slot
    else state.setNext(bucket.tail, slot)
    bucket.tail = slot
  }

  #insert (uses: number, below: Bucket | undefined, above: Bucket | undefined): Bucket {
    const number = this.#freeNumbers.pop() ?? this.#buckets.length
    const bucket: Bucket = { number, uses, head: -1, tail: -1, below, above }
    this.#buckets[number] = bucket
    if (below !== undefined) below.above = bucket
    if (above !== undefined) above.below = bucket
    return bucket
  }

  #drop (bucket: Bucket): void {
    if (bucket.below === undefined) this.#lowest = bucket.above
    else bucket.below.above = bucket.above
    if (bucket.above !== undefined) bucket.above.below = bucket.below
    this.#buckets[bucket.number] = undefined
    this.#freeNumbers.push(bucket.number)
  }
}

/** The slots with one use count, oldest use first. */
interface Bucket { number: number, uses: number, head: number, tail: number, below: Bucket | undefined, above: Bucket | undefined }
