import type { Counted } from './counted.js'

/**
 * The most frequent names of a stream in bounded memory: a name that is not in the table takes the place of the one with the lowest
 * count, and goes on from that count, which is its error then. Whatever makes up more than 1/capacity of the stream is in the table,
 * and no count is too high by more than that part of the stream.
 * (Space-Saving: Metwally, Agrawal and El Abbadi, "Efficient Computation of Frequent and Top-k Elements in Data Streams", ICDT 2005.)
 *
 * The lowest count is the root of a binary heap, so that an addition takes logarithmic time, whatever its weight.
 */
export class SpaceSaving {
  /** The weight of everything that was added. */
  total = 0
  readonly #capacity: number
  readonly #index = new Map<string, number>()
  readonly #names: string[] = []
  readonly #counts: Float64Array
  readonly #errors: Float64Array
  readonly #heap: Int32Array
  readonly #place: Int32Array

  constructor (capacity: number) {
    this.#capacity = capacity
    this.#counts = new Float64Array(capacity)
    this.#errors = new Float64Array(capacity)
    this.#heap = new Int32Array(capacity)
    this.#place = new Int32Array(capacity)
  }

  add (name: string, weight: number): void {
    this.total += weight
    let at = this.#index.get(name)
    if (at !== undefined) {
      this.#counts[at]! += weight
    } else if (this.#names.length < this.#capacity) {
      at = this.#names.length
      this.#names.push(name)
      this.#index.set(name, at)
      this.#counts[at] = weight
      this.#errors[at] = 0
      this.#put(at, at)
      this.#rise(at)
    } else {
      const lowest = this.#heap[0] as number
      at = lowest
      this.#index.delete(this.#names[at] as string)
      this.#index.set(name, at)
      this.#names[at] = name
      this.#errors[at] = this.#counts[at] as number
      this.#counts[at]! += weight
    }
    this.#sink(at)
  }

  /** What a name that is not in the table may have been added with at most. */
  get unseen (): number { return this.#names.length < this.#capacity ? 0 : this.#counts[this.#heap[0] as number] as number }

  /** In no order. */
  counted (): Counted[] {
    return this.#names.map((name, at) => ({ name, count: this.#counts[at] as number, error: this.#errors[at] as number }))
  }

  clear (): void {
    this.total = 0
    this.#names.length = 0
    this.#index.clear()
  }

  #put (at: number, place: number): void {
    this.#heap[place] = at
    this.#place[at] = place
  }

  #rise (at: number): void {
    const count = this.#counts[at] as number
    let place = this.#place[at] as number
    while (place > 0) {
      const up = (place - 1) >> 1
      const parent = this.#heap[up] as number
      if (this.#counts[parent] as number <= count) break
      this.#put(parent, place)
      place = up
    }
    this.#put(at, place)
  }

  #sink (at: number): void {
    const count = this.#counts[at] as number
    const length = this.#names.length
    let place = this.#place[at] as number
    for (;;) {
      let down = 2 * place + 1
      if (down >= length) break
      if (down + 1 < length && (this.#counts[this.#heap[down + 1] as number] as number) < (this.#counts[this.#heap[down] as number] as number)) down++
      const child = this.#heap[down] as number
      if (this.#counts[child] as number >= count) break
      this.#put(child, place)
      place = down
    }
    this.#put(at, place)
  }
}
