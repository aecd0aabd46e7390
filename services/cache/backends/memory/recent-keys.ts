import type { Slots } from './slots.js'

/** Places, a power of two. */
const PLACES = 16_384

/**
 * Where the keys are that were looked up lately. To find a key here takes a few of its characters, where the index takes a hash of
 * all; what it answers is the key itself or nothing, so that keys which agree in those few cost each other time and no more. A slot
 * that another entry has come into answers for that one alone, so nothing has to be taken out.
 */
export class RecentKeys {
  #slots: Slots
  /** By place: the sample, and beside it the slot and one more (zero is none). */
  #places = new Int32Array(2 * PLACES)

  constructor (slots: Slots) { this.#slots = slots }

  /** The slot that the key may be in, -1 when none is known here. */
  guess (sample: number): number {
    const place = (sample & (PLACES - 1)) << 1
    return this.#places[place] === sample ? this.#places[place + 1] as number - 1 : -1
  }

  /** The slot of the key, -1 when it is not known here. */
  find (space: number, key: string, sample: number): number {
    const slot = this.guess(sample)
    return slot !== -1 && this.#slots.holds(slot, space, key) ? slot : -1
  }

  note (slot: number, sample: number): void {
    const place = (sample & (PLACES - 1)) << 1
    this.#places[place] = sample
    this.#places[place + 1] = slot + 1
  }
}
