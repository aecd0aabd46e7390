import { grown, grownBytes } from './policy.js'

/** Several queues that share the slots between them: a slot is in one queue at most. Constant time, no allocation, nine bytes a slot. */
export class SlotQueues {
  readonly #heads: Int32Array
  readonly #tails: Int32Array
  readonly #lengths: Int32Array
  #next = new Int32Array(0)
  #previous = new Int32Array(0)
  #queueOf = new Uint8Array(0)

  constructor (count: number) {
    this.#heads = new Int32Array(count).fill(-1)
    this.#tails = new Int32Array(count).fill(-1)
    this.#lengths = new Int32Array(count)
  }

  /** The slot that came first, -1 when the queue is empty. */
  head (queue: number): number { return this.#heads[queue] as number }
  length (queue: number): number { return this.#lengths[queue] as number }
  queueOf (slot: number): number { return this.#queueOf[slot] as number }

  append (slot: number, queue: number): void {
    const tail = this.#tails[queue] as number
    this.#previous[slot] = tail
    this.#next[slot] = -1
    if (tail === -1) this.#heads[queue] = slot
    else this.#next[tail] = slot
    this.#tails[queue] = slot
    this.#queueOf[slot] = queue
    this.#lengths[queue]!++
  }

  remove (slot: number): void {
    const queue = this.#queueOf[slot] as number
    const next = this.#next[slot] as number
    const previous = this.#previous[slot] as number
    if (previous === -1) this.#heads[queue] = next
    else this.#next[previous] = next
    if (next === -1) this.#tails[queue] = previous
    else this.#previous[next] = previous
    this.#lengths[queue]!--
  }

  /** To the end of a queue, its own or another. */
  move (slot: number, queue: number): void {
    if (this.#tails[queue] === slot) return
    this.remove(slot)
    this.append(slot, queue)
  }

  resize (capacity: number): void {
    this.#next = grown(this.#next, capacity)
    this.#previous = grown(this.#previous, capacity)
    this.#queueOf = grownBytes(this.#queueOf, capacity)
  }
}
