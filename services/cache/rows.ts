const SHIFT = 10
const MASK = (1 << SHIFT) - 1
/** Slots of one chunk. */
export const CHUNK = 1 << SHIFT

/** Where a slot's chunk is. */
export const chunkOf = (slot: number): number => slot >>> SHIFT
/** Where a slot is in its chunk. */
export const placeOf = (slot: number): number => slot & MASK

/**
 * A row of 32-bit words for every slot, in chunks of a thousand rows: growing copies nothing, so that it never stalls, and takes at
 * most a chunk more than is used. Only the first chunk starts small and doubles. A row of 16 words is one line of the processor's
 * cache.
 */
export class Rows {
  #chunks: Int32Array<ArrayBuffer>[] = []
  /** The words of a row, as a power of two. */
  readonly shift: number
  #capacity = 0

  /** @param shift the words of a row, as a power of two */
  constructor (shift: number) { this.shift = shift }

  get capacity (): number { return this.#capacity }

  /** The words of the slot's chunk, for those who want several: the slot's begin at `placeOf(slot) << shift`. */
  chunk (slot: number): Int32Array { return this.#chunks[slot >>> SHIFT] as Int32Array }

  get (slot: number, word: number): number {
    return (this.#chunks[slot >>> SHIFT] as Int32Array)[((slot & MASK) << this.shift) | word] as number
  }

  set (slot: number, word: number, value: number): void {
    (this.#chunks[slot >>> SHIFT] as Int32Array)[((slot & MASK) << this.shift) | word] = value
  }

  /** Room for slots up to `capacity` (exclusive) at least; what is there stays. New words are 0. */
  resize (capacity: number): void {
    while (this.#capacity < capacity) this.#capacity = this.#capacity < CHUNK ? this.#lengthen(capacity) : this.#append()
  }

  /** Sets a word of every row. */
  fill (word: number, value: number): void {
    const step = 1 << this.shift
    for (const chunk of this.#chunks) for (let at = word; at < chunk.length; at += step) chunk[at] = value
  }

  #lengthen (capacity: number): number {
    const length = firstLength(capacity)
    const longer = new Int32Array(length << this.shift)
    if (this.#chunks[0] !== undefined) longer.set(this.#chunks[0])
    this.#chunks[0] = longer
    return length
  }

  #append (): number {
    this.#chunks.push(new Int32Array(CHUNK << this.shift))
    return this.#capacity + CHUNK
  }
}

/** A byte for every slot, in the same way. */
export class Bytes {
  #chunks: Uint8Array<ArrayBuffer>[] = []
  #capacity = 0

  get (slot: number): number { return (this.#chunks[slot >>> SHIFT] as Uint8Array)[slot & MASK] as number }
  set (slot: number, value: number): void { (this.#chunks[slot >>> SHIFT] as Uint8Array)[slot & MASK] = value }

  resize (capacity: number): void {
    while (this.#capacity < capacity) this.#capacity = this.#capacity < CHUNK ? this.#lengthen(capacity) : this.#append()
  }

  #lengthen (capacity: number): number {
    const length = firstLength(capacity)
    const longer = new Uint8Array(length)
    if (this.#chunks[0] !== undefined) longer.set(this.#chunks[0])
    this.#chunks[0] = longer
    return length
  }

  #append (): number {
    this.#chunks.push(new Uint8Array(CHUNK))
    return this.#capacity + CHUNK
  }
}

const LEAST = 16

/** How long the first chunk is to be: as short as the capacity allows. */
function firstLength (capacity: number): number {
  let length = LEAST
  while (length < capacity && length < CHUNK) length *= 2
  return length
}
