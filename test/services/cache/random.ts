/** Numbers that look random and come again with the same seed (mulberry32). */
export class Random {
  readonly seed: number
  #state: number

  constructor (seed = Math.floor(Math.random() * 2 ** 32)) {
    this.seed = seed
    this.#state = seed
  }

  /** From 0 up to 1. */
  next (): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  /** A whole number from 0 up to `bound`. */
  below (bound: number): number { return Math.floor(this.next() * bound) }
  chance (probability: number): boolean { return this.next() < probability }
  pick<T> (from: readonly T[]): T { return from[this.below(from.length)] as T }
}
