import type { Rows } from '../rows.js'
import type { SlotState } from './slot-state.js'

/** A doubly linked list of slots: every operation takes constant time and allocates nothing. */
export class SlotList {
  head = -1
  tail = -1
  #rows: Rows
  #previous: number
  #next: number

  constructor ({ rows, previousWord, nextWord }: SlotState) {
    this.#rows = rows
    this.#previous = previousWord
    this.#next = nextWord
  }

  /** The slot that came after this one, -1 at the tail. */
  next (slot: number): number { return this.#rows.get(slot, this.#next) }

  append (slot: number): void {
    const rows = this.#rows
    rows.set(slot, this.#previous, this.tail)
    rows.set(slot, this.#next, -1)
    if (this.tail === -1) this.head = slot
    else rows.set(this.tail, this.#next, slot)
    this.tail = slot
  }

  remove (slot: number): void {
    const rows = this.#rows
    const next = rows.get(slot, this.#next)
    const previous = rows.get(slot, this.#previous)
    if (previous === -1) this.head = next
    else rows.set(previous, this.#next, next)
    if (next === -1) this.tail = previous
    else rows.set(next, this.#previous, previous)
  }

  moveToTail (slot: number): void {
    if (slot === this.tail) return
    this.remove(slot)
    this.append(slot)
  }
}
