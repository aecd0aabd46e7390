import type { Bytes } from '../rows.js'
import type { SlotState } from './slot-state.js'

/** Several queues that share the slots between them: a slot is in one queue at most. Constant time, no allocation. */
export class SlotQueues {
  readonly #heads: Int32Array
  readonly #tails: Int32Array
  readonly #lengths: Int32Array
  #state: SlotState
  #queueOf: Bytes

  constructor (count: number, state: SlotState) {
    this.#state = state
    this.#queueOf = state.queues
    this.#heads = new Int32Array(count).fill(-1)
    this.#tails = new Int32Array(count).fill(-1)
    this.#lengths = new Int32Array(count)
  }

  /** The slot that came first, -1 when the queue is empty. */
  head (queue: number): number { return this.#heads[queue] as number }
  length (queue: number): number { return this.#lengths[queue] as number }
  queueOf (slot: number): number { return this.#queueOf.get(slot) }

  append (slot: number, queue: number): void {
    const tail = this.#tails[queue] as number
    this.#state.setPrevious(slot, tail)
    this.#state.setNext(slot, -1)
    if (tail === -1) this.#heads[queue] = slot
    else this.#state.setNext(tail, slot)
    this.#tails[queue] = slot
    this.#queueOf.set(slot, queue)
    this.#lengths[queue]!++
  }

  remove (slot: number): void {
    const queue = this.#queueOf.get(slot)
    const next = this.#state.next(slot)
    const previous = this.#state.previous(slot)
    if (previous === -1) this.#heads[queue] = next
    else this.#state.setNext(previous, next)
    if (next === -1) this.#tails[queue] = previous
    else this.#state.setPrevious(next, previous)
    this.#lengths[queue]!--
  }

  /** To the end of a queue, its own or another. */
  move (slot: number, queue: number): void {
    if (this.#tails[queue] === slot) return
    this.remove(slot)
    this.append(slot, queue)
  }
}
