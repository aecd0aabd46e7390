import { grown, type Policy } from './policy.js'

/**
 * Least frequently used: the entry with the fewest uses since it came in is evicted, among equals the one used longest ago.
 * Constant time: slots hang in one list per use count, and those lists in one list by rising count
 * (Shah, Mitra and Matani, "An O(1) algorithm for implementing the LFU cache eviction scheme", 2010).
 */
export class LfuPolicy implements Policy {
  #next = new Int32Array(0)
  #previous = new Int32Array(0)
  #bucketOf: (Bucket | undefined)[] = []
  #lowest: Bucket | undefined

  admit (slot: number): void {
    if (this.#lowest?.uses !== 1) this.#lowest = insertBucket(1, undefined, this.#lowest)
    this.#append(slot, this.#lowest)
  }

  restore (slot: number, _expiresAt: number, uses: number): void {
    if (this.#lowest?.uses !== uses) this.#lowest = insertBucket(uses, undefined, this.#lowest)
    this.#append(slot, this.#lowest)
  }

  touch (slot: number): void {
    const bucket = this.#bucketOf[slot] as Bucket
    const above = bucket.above
    const target = above?.uses === bucket.uses + 1 ? above : insertBucket(bucket.uses + 1, bucket, above)
    this.#unlink(slot)
    this.#append(slot, target)
  }

  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.touch(slot) }
  victim (): number { return this.#lowest?.head ?? -1 }
  forget (slot: number): void {
    this.#unlink(slot)
    this.#bucketOf[slot] = undefined
  }

  resize (capacity: number): void {
    this.#next = grown(this.#next, capacity)
    this.#previous = grown(this.#previous, capacity)
  }

  #append (slot: number, bucket: Bucket): void {
    this.#bucketOf[slot] = bucket
    this.#previous[slot] = bucket.tail
    this.#next[slot] = -1
    if (bucket.tail === -1) bucket.head = slot
    else this.#next[bucket.tail] = slot
    bucket.tail = slot
  }

  #unlink (slot: number): void {
    const bucket = this.#bucketOf[slot] as Bucket
    const next = this.#next[slot] as number
    const previous = this.#previous[slot] as number
    if (previous === -1) bucket.head = next
    else this.#next[previous] = next
    if (next === -1) bucket.tail = previous
    else this.#previous[next] = previous
    if (bucket.head === -1) this.#dropBucket(bucket)
  }

  #dropBucket (bucket: Bucket): void {
    if (bucket.below === undefined) this.#lowest = bucket.above
    else bucket.below.above = bucket.above
    if (bucket.above !== undefined) bucket.above.below = bucket.below
  }
}

/** The slots with one use count, oldest use first. */
interface Bucket { uses: number, head: number, tail: number, below: Bucket | undefined, above: Bucket | undefined }

function insertBucket (uses: number, below: Bucket | undefined, above: Bucket | undefined): Bucket {
  const bucket: Bucket = { uses, head: -1, tail: -1, below, above }
  if (below !== undefined) below.above = bucket
  if (above !== undefined) above.below = bucket
  return bucket
}
