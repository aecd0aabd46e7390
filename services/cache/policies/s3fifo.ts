import type { Bytes } from '../rows.js'
import { Ghosts } from './ghosts.js'
import type { Policy } from './policy.js'
import { SlotQueues } from './slot-queues.js'
import { SlotState } from './slot-state.js'

const SMALL = 0
const MAIN = 1
/** Uses that are counted at most: two bits. */
const MOST = 3
/** Entries that one search for a victim moves at most, so that no write waits for a pass over millions. */
const STEPS = 10_000

/**
 * S3-FIFO: newcomers wait in a small queue of a tenth of the entries. Those that were used twice there move on to the main
 * queue, the others go, and are remembered by their hash: who comes back soon enters the main queue at once. The main queue
 * gives an entry another round for each use.
 * (Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache eviction", SOSP 2023.)
 */
export class S3FifoPolicy implements Policy {
  readonly usesHash = true
  #state: SlotState
  #queues: SlotQueues
  #uses: Bytes
  #ghosts = new Ghosts()
  /** What was held when a victim was last asked for. */
  #fits = 0

  constructor (state = new SlotState()) {
    this.#state = state
    this.#queues = new SlotQueues(2, state)
    this.#uses = state.uses
  }

  admit (slot: number, _expiresAt: number, hash: number): void {
    // As many ghosts as the main queue has entries: nine tenths of all.
    this.#queues.append(slot, this.#ghosts.recall(hash, Math.floor(this.#fits * 9 / 10)) ? MAIN : SMALL)
    this.#uses.set(slot, 0)
    this.#state.setHash(slot, hash)
  }

  touch (slot: number): void {
    const uses = this.#uses.get(slot)
    if (uses < MOST) this.#uses.set(slot, uses + 1)
  }

  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.touch(slot) }

  victim (): number {
    const queues = this.#queues
    const held = queues.length(SMALL) + queues.length(MAIN)
    this.#fits = held
    if (held === 0) return -1
    this.#ghosts.resize(held)
    for (let steps = 0; ; steps++) {
      const small = queues.length(SMALL)
      const queue = queues.length(MAIN) === 0 || small * 10 >= held ? SMALL : MAIN
      const slot = queues.head(queue)
      const uses = this.#uses.get(slot)
      if (uses < (queue === SMALL ? 2 : 1)) return slot
      this.#uses.set(slot, queue === SMALL || steps >= STEPS ? 0 : uses - 1)
      if (steps >= STEPS) return slot
      queues.move(slot, MAIN)
    }
  }

  forget (slot: number, evicted: boolean): void {
    if (evicted && this.#queues.queueOf(slot) === SMALL) this.#ghosts.add(this.#state.hash(slot))
    this.#queues.remove(slot)
  }

  resize (capacity: number): void { this.#state.resize(capacity) }
}
