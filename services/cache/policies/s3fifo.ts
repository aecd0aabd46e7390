import { Ghosts } from './ghosts.js'
import { grown, grownBytes, type Policy } from './policy.js'
import { SlotQueues } from './slot-queues.js'

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
  #queues = new SlotQueues(2)
  #uses = new Uint8Array(0)
  #hashes = new Int32Array(0)
  #ghosts = new Ghosts()
  /** What was held when a victim was last asked for. */
  #fits = 0

  admit (slot: number, _expiresAt: number, hash: number): void {
    // As many ghosts as the main queue has entries: nine tenths of all.
    this.#queues.append(slot, this.#ghosts.recall(hash, Math.floor(this.#fits * 9 / 10)) ? MAIN : SMALL)
    this.#uses[slot] = 0
    this.#hashes[slot] = hash
  }

  touch (slot: number): void { if (this.#uses[slot] as number < MOST) this.#uses[slot]!++ }
  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.touch(slot) }

  victim (): number {
    const queues = this.#queues
    const held = queues.length(SMALL) + queues.length(MAIN)
    this.#fits = held
    if (held === 0) return -1
    for (let steps = 0; ; steps++) {
      const small = queues.length(SMALL)
      const queue = queues.length(MAIN) === 0 || small * 10 >= held ? SMALL : MAIN
      const slot = queues.head(queue)
      const uses = this.#uses[slot] as number
      if (uses < (queue === SMALL ? 2 : 1)) return slot
      this.#uses[slot] = queue === SMALL || steps >= STEPS ? 0 : uses - 1
      if (steps >= STEPS) return slot
      queues.move(slot, MAIN)
    }
  }

  forget (slot: number, evicted: boolean): void {
    if (evicted && this.#queues.queueOf(slot) === SMALL) this.#ghosts.add(this.#hashes[slot] as number)
    this.#queues.remove(slot)
  }

  resize (capacity: number): void {
    this.#queues.resize(capacity)
    this.#uses = grownBytes(this.#uses, capacity)
    this.#hashes = grown(this.#hashes, capacity)
    this.#ghosts.resize(capacity)
  }
}
