/**
 * A sample of a stream of unknown length in which each item is as likely as any other.
 * (Algorithm R: Vitter, "Random Sampling with a Reservoir", ACM TOMS 1985; items are passed over in the jumps of Li's Algorithm L,
 * "Reservoir-Sampling Algorithms of Time Complexity O(n(1 + log(N/n)))", ACM TOMS 1994, so that few cost a random number.)
 */
export class Reservoir<T> {
  readonly items: T[] = []
  /** Items offered so far. */
  seen = 0
  readonly #capacity: number
  readonly #random: () => number
  #weight = 1
  /** The number of the next item to be taken. */
  #next = 0

  constructor (capacity: number, random: () => number = Math.random) {
    this.#capacity = capacity
    this.#random = random
  }

  /** Where to put the next item of the stream, -1 to pass it over: `if ((at = offer()) !== -1) items[at] = …`. */
  offer (): number {
    const number = this.seen++
    if (number < this.#capacity) {
      if (number === this.#capacity - 1) this.#jump(number)
      return number
    }
    if (number < this.#next) return -1
    this.#jump(number)
    return Math.floor(this.#random() * this.#capacity)
  }

  #jump (from: number): void {
    this.#weight *= Math.exp(Math.log(1 - this.#random()) / this.#capacity)
    this.#next = from + 1 + Math.floor(Math.log(1 - this.#random()) / Math.log(1 - this.#weight))
  }
}
