/**
 * The hashes of what was evicted last, first in, first out; a place stays taken when its hash is called back.
 * A ring of hashes, chained by bucket from the newest to the oldest: a chain ends where it reaches what is too old, so that
 * nothing is ever unlinked.
 */
export class Ghosts {
  /** Sequence numbers (modulo 2^32) of the newest hash of a bucket, and of the next older one in the same chain. */
  #newest = new Int32Array(1)
  #older = new Int32Array(1)
  #hashes = new Int32Array(1)
  #mask = 0
  /** Hashes added so far, modulo 2^32. */
  #added = 0
  /** Places that hold something at most. */
  #filled = 0

  /** Room for `capacity` hashes; what is there stays. */
  resize (capacity: number): void {
    const size = 2 ** Math.ceil(Math.log2(Math.max(1, capacity)))
    if (size <= this.#hashes.length) return
    const [hashes, mask, filled] = [this.#hashes, this.#mask, this.#filled]
    this.#hashes = new Int32Array(size)
    this.#newest = new Int32Array(size)
    this.#older = new Int32Array(size)
    this.#mask = size - 1
    this.#added = (this.#added - filled) | 0
    this.#filled = 0
    for (let left = filled; left > 0; left--) this.add(hashes[this.#added & mask] as number)
  }

  add (hash: number): void {
    const place = this.#added & this.#mask
    const bucket = hash & this.#mask
    this.#hashes[place] = hash
    this.#older[place] = this.#newest[bucket] as number
    this.#newest[bucket] = this.#added
    this.#added = (this.#added + 1) | 0
    if (this.#filled < this.#hashes.length) this.#filled++
  }

  /** Whether the hash is among the last `reach` that were added; it is not from then on. */
  recall (hash: number, reach: number): boolean {
    const limit = Math.min(reach, this.#filled)
    let place = this.#newest[hash & this.#mask] as number
    let youngest = 0
    for (;;) {
      const age = (this.#added - place) >>> 0
      if (age <= youngest || age > limit) return false
      const at = place & this.#mask
      if (this.#hashes[at] === hash) {
        // Of another bucket, so that nobody finds it here any more.
        this.#hashes[at] = ~hash
        return true
      }
      youngest = age
      place = this.#older[at] as number
    }
  }
}
