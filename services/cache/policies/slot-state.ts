import { Bytes, Rows } from '../rows.js'

/** Where the words that policies share lie in rows that hold more. */
export interface SharedWords { readonly rows: Rows, readonly previous: number, readonly next: number, readonly hash: number }

/**
 * What policies keep for each slot. A slot is in one policy at a time, so all the policies of a backend share one of these, and
 * what none of them has needed yet takes no memory.
 */
export class SlotState {
  readonly rows: Rows
  /** The words of the links in a row. */
  readonly previousWord: number
  readonly nextWord: number
  readonly #hash: number
  #capacity: number
  #queues: Bytes | undefined
  #uses: Bytes | undefined
  #buckets: Rows | undefined
  #priorities: Rows | undefined

  /** @param shared where the links and the hash lie; by default they get rows of their own */
  constructor ({ rows, previous, next, hash }: SharedWords = { rows: new Rows(2), previous: 0, next: 1, hash: 2 }) {
    this.rows = rows
    this.previousWord = previous
    this.nextWord = next
    this.#hash = hash
    this.#capacity = rows.capacity
  }

  previous (slot: number): number { return this.rows.get(slot, this.previousWord) }
  next (slot: number): number { return this.rows.get(slot, this.nextWord) }
  setPrevious (slot: number, previous: number): void { this.rows.set(slot, this.previousWord, previous) }
  setNext (slot: number, next: number): void { this.rows.set(slot, this.nextWord, next) }

  /** The hash of the key, for the policies that ask for it. */
  hash (slot: number): number { return this.rows.get(slot, this.#hash) }
  setHash (slot: number, hash: number): void { this.rows.set(slot, this.#hash, hash) }

  /** The queue that a slot is in, for policies with several. */
  get queues (): Bytes {
    this.#queues ??= this.#sized(new Bytes())
    return this.#queues
  }

  /** Uses of a slot, counted up to a few. */
  get uses (): Bytes {
    this.#uses ??= this.#sized(new Bytes())
    return this.#uses
  }

  /** One word for the policies that put slots in buckets. */
  get buckets (): Rows {
    this.#buckets ??= this.#sized(new Rows(0))
    return this.#buckets
  }

  /** Four words for the policies that put slots in an order of their own. */
  get priorities (): Rows {
    this.#priorities ??= this.#sized(new Rows(2))
    return this.#priorities
  }

  /** Slots up to `capacity` (exclusive) may come; what is held stays. */
  resize (capacity: number): void {
    this.#capacity = Math.max(this.#capacity, capacity)
    this.rows.resize(capacity)
    this.#queues?.resize(capacity)
    this.#uses?.resize(capacity)
    this.#buckets?.resize(capacity)
    this.#priorities?.resize(capacity)
  }

  #sized<C extends Bytes | Rows> (column: C): C {
    column.resize(this.#capacity)
    return column
  }
}
