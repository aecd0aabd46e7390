/** Words of 32 bits, with eight counters each, that the counters of one hash lie in: a cache line. */
const BLOCK = 16
const ROWS = 4
const MOST = 15

/**
 * How often hashes came lately, roughly: a count-min sketch of four-bit counters. Estimates are never too low (but capped at
 * 15), and all are halved after every so many additions, so that old glory fades. A block is halved when it is next looked at,
 * which gives the same numbers and takes constant time. Eight bytes a slot.
 * (Cormode and Muthukrishnan 2005; Einziger, Friedman and Manes, "TinyLFU: A Highly Efficient Cache Admission Policy", 2017.)
 */
export class FrequencySketch {
  #table = new Int32Array(BLOCK)
  /** The halvings that each block has been through. */
  #halvings = new Int32Array(1)
  #mask = 0
  #due = 0
  #additions = 0

  /** @param period additions between two halvings */
  add (hash: number, period: number): void {
    const block = this.#block(hash)
    const places = scatter(hash)
    for (let row = 0; row < ROWS; row++) {
      const bits = places >>> (row * 5)
      const at = block + row * ROWS + ((bits >>> 3) & 3)
      const shift = (bits & 7) << 2
      const word = this.#table[at] as number
      if (((word >>> shift) & MOST) !== MOST) this.#table[at] = word + (1 << shift)
    }
    if (++this.#additions >= period) {
      this.#additions >>>= 1
      this.#due++
    }
  }

  estimate (hash: number): number {
    const block = this.#block(hash)
    const places = scatter(hash)
    let least = MOST
    for (let row = 0; row < ROWS; row++) {
      const bits = places >>> (row * 5)
      const count = ((this.#table[block + row * ROWS + ((bits >>> 3) & 3)] as number) >>> ((bits & 7) << 2)) & MOST
      if (count < least) least = count
    }
    return least
  }

  /** The entries that it is sized for. */
  get room (): number { return this.#halvings.length * BLOCK / 2 }

  /** Sizes the sketch for so many entries; estimates stay as they are. */
  resize (capacity: number): void {
    const blocks = 2 ** Math.ceil(Math.log2(Math.max(1, capacity * 2 / BLOCK)))
    // A block's hashes part over its copies: each counter is right for those that it keeps.
    while (this.#halvings.length < blocks) {
      const length = this.#table.length
      this.#table = grown(this.#table, length * 2)
      this.#table.copyWithin(length, 0, length)
      this.#halvings = grown(this.#halvings, length * 2 / BLOCK)
      this.#halvings.copyWithin(length / BLOCK, 0, length / BLOCK)
    }
    this.#mask = this.#halvings.length - 1
  }

  /** Where the counters of a hash begin, halved as often as is due. */
  #block (hash: number): number {
    const at = hash & this.#mask
    const start = at * BLOCK
    const behind = this.#due - (this.#halvings[at] as number)
    if (behind > 0) {
      this.#halvings[at] = this.#due
      for (let word = start; word < start + BLOCK; word++) {
        this.#table[word] = behind >= 4 ? 0 : ((this.#table[word] as number) >>> behind) & KEPT[behind]!
      }
    }
    return start
  }
}

/** The bits of a word that are left of its counters, after so many halvings. */
const KEPT = [0xffffffff, 0x77777777, 0x33333333, 0x11111111]

/** A longer copy of an array. */
function grown (array: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length)
  copy.set(array)
  return copy
}

/** Other bits than those that choose the block. */
function scatter (hash: number): number {
  const mixed = Math.imul(hash, 0x9e3779b1)
  return mixed ^ (mixed >>> 15)
}
