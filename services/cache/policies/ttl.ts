import type { Rows } from '../rows.js'
import type { Policy } from './policy.js'
import { SlotState } from './slot-state.js'

/** The words of a slot: milliseconds and the order of admission, each in two halves. Its place in the heap is in its link. */
const EXPIRES_LOW = 0
const EXPIRES_HIGH = 1
const ADMITTED_LOW = 2
const ADMITTED_HIGH = 3
const HALF = 2 ** 32
/** Later than any time: 21 bits of the upper half. */
const NEVER = 2 ** 53 - 1
const INITIAL = 16

/**
 * Soonest to expire first; entries that never expire come last, and among equals the one admitted first goes.
 * A binary heap of slots, with each slot's place in it so that any entry leaves in logarithmic time.
 */
export class TtlPolicy implements Policy {
  #state: SlotState
  #priorities: Rows
  #heap = new Int32Array(INITIAL)
  #length = 0
  #sequence = 0

  constructor (state = new SlotState()) {
    this.#state = state
    this.#priorities = state.priorities
  }

  admit (slot: number, expiresAt: number): void {
    if (this.#length === this.#heap.length) this.#lengthen()
    this.#setExpiry(slot, expiresAt)
    this.#setAdmitted(slot)
    this.#put(slot, this.#length++)
    this.#rise(slot)
  }

  touch (): void {}

  replace (slot: number, expiresAt: number, written: boolean): void {
    this.#setExpiry(slot, expiresAt)
    if (written) this.#setAdmitted(slot)
    this.#rise(slot)
    this.#sink(slot)
  }

  victim (): number { return this.#length === 0 ? -1 : this.#heap[0] as number }

  forget (slot: number): void {
    const place = this.#state.next(slot)
    const last = this.#heap[--this.#length] as number
    if (last === slot) return
    this.#put(last, place)
    this.#rise(last)
    this.#sink(last)
  }

  resize (capacity: number): void { this.#state.resize(capacity) }

  // A word takes the lower 32 bits of what is assigned to it, without its fraction.
  #setExpiry (slot: number, expiresAt: number): void {
    const time = Math.max(0, Math.min(Math.ceil(expiresAt), NEVER))
    this.#priorities.set(slot, EXPIRES_LOW, time)
    this.#priorities.set(slot, EXPIRES_HIGH, time / HALF)
  }

  #setAdmitted (slot: number): void {
    const order = ++this.#sequence
    this.#priorities.set(slot, ADMITTED_LOW, order)
    this.#priorities.set(slot, ADMITTED_HIGH, order / HALF)
  }

  #lengthen (): void {
    const longer = new Int32Array(this.#heap.length * 2)
    longer.set(this.#heap)
    this.#heap = longer
  }

  #put (slot: number, place: number): void {
    this.#heap[place] = slot
    this.#state.setNext(slot, place)
  }

  #before (a: number, b: number): boolean {
    return this.#difference(a, b, EXPIRES_HIGH) < 0
  }

  /** Below 0 when `a` goes before `b`: held against each other half by half. */
  #difference (a: number, b: number, word: number): number {
    const priorities = this.#priorities
    const high = priorities.get(a, word) - priorities.get(b, word)
    if (high !== 0) return high
    const low = (priorities.get(a, word - 1) >>> 0) - (priorities.get(b, word - 1) >>> 0)
    return low !== 0 || word === ADMITTED_HIGH ? low : this.#difference(a, b, ADMITTED_HIGH)
  }

  #rise (slot: number): void {
    let place = this.#state.next(slot)
    while (place > 0) {
      const up = (place - 1) >> 1
      const parent = this.#heap[up] as number
      if (!this.#before(slot, parent)) break
      this.#put(parent, place)
      place = up
    }
    this.#put(slot, place)
  }

  #sink (slot: number): void {
    let place = this.#state.next(slot)
    for (;;) {
      let down = 2 * place + 1
      if (down >= this.#length) break
      if (down + 1 < this.#length && this.#before(this.#heap[down + 1] as number, this.#heap[down] as number)) down++
      const child = this.#heap[down] as number
      if (!this.#before(child, slot)) break
      this.#put(child, place)
      place = down
    }
    this.#put(slot, place)
  }
}
