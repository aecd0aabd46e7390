import { placeOf, type Rows } from '../rows.js'
import type { SlotState } from './slot-state.js'

/** A doubly linked list of slots: every operation takes constant time and allocates nothing. */
export class SlotList {
  head = -1
  tail = -1
  #rows: Rows
  #shift: number
  #previous: number
  #next: number

  constructor ({ rows, previousWord, nextWord }: SlotState) {
    this.#rows = rows
    this.#shift = rows.shift
    this.#previous = previousWord
    this.#next = nextWord
  }

  /** The slot that came after this one, -1 at the tail. */
  next (slot: number): number { return this.#rows.get(slot, this.#next) }

  append (slot: number): void {
    const at = placeOf(slot) << this.#shift
    const row = this.#rows.chunk(slot)
    const { tail } = this
    row[at + this.#previous] = tail
    row[at + this.#next] = -1
    if (tail === -1) this.head = slot
    else this.#rows.chunk(tail)[(placeOf(tail) << this.#shift) + this.#next] = slot
    this.tail = slot
  }

  remove (slot: number): void {
    const at = placeOf(slot) << this.#shift
    const row = this.#rows.chunk(slot)
    const next = row[at + this.#next] as number
    const previous = row[at + this.#previous] as number
    if (previous === -1) this.head = next
    else this.#rows.chunk(previous)[(placeOf(previous) << this.#shift) + this.#next] = next
    if (next === -1) this.tail = previous
    else this.#rows.chunk(next)[(placeOf(next) << this.#shift) + this.#previous] = previous
  }

  moveToTail (slot: number): void {
    const { tail } = this
    if (slot === tail) return
    // The two above in one, and as short as can be: it is part of every read.
    const rows = this.#rows
    const before = this.#previous
    const after = this.#next
    const row = rows.chunk(slot)
    const at = placeOf(slot) << this.#shift
    const next = row[at + after] as number
    const previous = row[at + before] as number
    row[at + before] = tail
    row[at + after] = -1
    if (previous === -1) this.head = next
    else rows.set(previous, after, next)
    rows.set(next, before, previous)
    rows.set(tail, after, slot)
    this.tail = slot
  }
}
