import type { Slots } from './slots.js'

/** Sets of places, a power of two. A key has one set, and there one of four places: with one place in all, two keys would go on taking it from each other. */
const SETS = 4096
/** The words of a set: half a line of the processor's cache. By place the sample, and beside it the slot and one more (zero is none). */
const SHIFT = 3
const PLACE = 2
const LAST = 6

/**
 * Where the keys are that were looked up lately. To find a key here takes a few of its characters, where the index takes a hash of
 * all; what it answers is the key itself or nothing, so that keys which agree in those few cost each other time and no more. A slot
 * that another entry has come into answers for that one alone, so nothing has to be taken out.
 */
export class RecentKeys {
  #slots: Slots
  #places = new Int32Array(SETS << SHIFT)

  constructor (slots: Slots) { this.#slots = slots }

  /** The slot that the key may be in, -1 when none is known here. */
  guess (sample: number): number {
    const places = this.#places
    const first = (sample & (SETS - 1)) << SHIFT
    return places[first] === sample ? places[first + 1] as number - 1 : this.#guessFurther(first, sample)
  }

  /** The slot of the key, -1 when it is not known here. */
  find (space: number, key: string, sample: number): number {
    const slot = this.guess(sample)
    return slot !== -1 && this.#slots.holds(slot, space, key) ? slot : -1
  }

  note (slot: number, sample: number): void {
    const places = this.#places
    const first = (sample & (SETS - 1)) << SHIFT
    let at = first
    // Over what it said of the key before, or over the one that was noted, or found, the longest ago.
    while (at < first + LAST && places[at] !== sample) at += PLACE
    this.#moveUp(first, at)
    places[first] = sample
    places[first + 1] = slot + 1
  }

  /** Behind the first place. What is found comes first from now on. */
  #guessFurther (first: number, sample: number): number {
    const places = this.#places
    for (let at = first + PLACE; at <= first + LAST; at += PLACE) {
      if (places[at] !== sample) continue
      const slot = places[at + 1] as number
      this.#moveUp(first, at)
      places[first] = sample
      places[first + 1] = slot
      return slot - 1
    }
    return -1
  }

  /** Moves what is in front of the place by one, over it. */
  #moveUp (first: number, at: number): void {
    const places = this.#places
    for (let word = at + 1; word > first + 1; word--) places[word] = places[word - PLACE] as number
  }
}
