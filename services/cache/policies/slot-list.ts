import { grown } from './policy.js'

/** A doubly linked list of slots in two typed arrays: every operation takes constant time and allocates nothing. */
export class SlotList {
  head = -1
  tail = -1
  #next = new Int32Array(0)
  #previous = new Int32Array(0)

  /** The slot that came after this one, -1 at the tail. */
  next (slot: number): number { return this.#next[slot] as number }

  append (slot: number): void {
    this.#previous[slot] = this.tail
    this.#next[slot] = -1
    if (this.tail === -1) this.head = slot
    else this.#next[this.tail] = slot
    this.tail = slot
  }

  remove (slot: number): void {
    const next = this.#next[slot] as number
    const previous = this.#previous[slot] as number
    if (previous === -1) this.head = next
    else this.#next[previous] = next
    if (next === -1) this.tail = previous
    else this.#previous[next] = previous
  }

  moveToTail (slot: number): void {
    if (slot === this.tail) return
    this.remove(slot)
    this.append(slot)
  }

  resize (capacity: number): void {
    this.#next = grown(this.#next, capacity)
    this.#previous = grown(this.#previous, capacity)
  }
}
