import { hashKey } from './policies/hash.js'

/** Bits per name: with four of them set in a block of 512, about one name in sixty is taken for one that was added. */
const BITS_PER_NAME = 10
const BLOCK_BITS = 512
const BLOCK_WORDS = BLOCK_BITS / 32
const BITS_SET = 4
const SMALLEST = 1024

/**
 * Tells names that were never added from those that may have been: a blocked Bloom filter (Putze, Sanders and Singler, "Cache-,
 * Hash- and Space-Efficient Bloom Filters", 2007), so that a look costs one line of the processor's cache. Nothing can be taken
 * out of it; who wants it emptier makes another.
 */
export class NameFilter {
  /** Names that it was made for; beyond, it errs more often. */
  readonly capacity: number
  /** Names added so far, without those that looked as if they had been. */
  size = 0
  #words: Uint32Array
  #blocks: number

  constructor (capacity = SMALLEST) {
    this.capacity = Math.max(SMALLEST, capacity)
    this.#blocks = Math.ceil(this.capacity * BITS_PER_NAME / BLOCK_BITS)
    this.#words = new Uint32Array(this.#blocks * BLOCK_WORDS)
  }

  add (name: string): void {
    let hash = hashKey(name)
    const block = (hash >>> 0) % this.#blocks * BLOCK_WORDS
    let isNew = false
    for (let i = 0; i < BITS_SET; i++) {
      hash = mixed(hash)
      const word = block + (hash >>> 28)
      const mask = 1 << (hash >>> 23 & 31)
      if ((this.#words[word]! & mask) === 0) isNew = true
      this.#words[word]! |= mask
    }
    if (isNew) this.size++
  }

  has (name: string): boolean {
    let hash = hashKey(name)
    const block = (hash >>> 0) % this.#blocks * BLOCK_WORDS
    for (let i = 0; i < BITS_SET; i++) {
      hash = mixed(hash)
      if ((this.#words[block + (hash >>> 28)]! & 1 << (hash >>> 23 & 31)) === 0) return false
    }
    return true
  }
}

/** The next of a sequence of which every bit depends on all before: the top four bits name a word, the five below a bit of it. */
const mixed = (hash: number): number => Math.imul(hash ^ hash >>> 15, 0x2c1b3c6d) + 0x9e3779b9 | 0
