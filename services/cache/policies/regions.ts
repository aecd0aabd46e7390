import type { Bytes } from '../rows.js'
import type { FrequencySketch } from './frequency-sketch.js'
import { Ghosts } from './ghosts.js'
import { SlotQueues } from './slot-queues.js'
import { SlotState } from './slot-state.js'

/** How the regions are run: the part of all entries that the window is to have, and whether by uses in FIFO order. */
export interface Regime { readonly window: number, readonly fifo: boolean }

const WINDOW = 0
const MAIN = 1
/** The part of the main region that is used; first in, first out has none. */
const PROTECTED = 2
const PROTECTED_PART = 0.8
/** Uses that are counted at most. */
const MOST = 3
/** Entries that one search for a victim moves at most, so that no write waits for a pass over millions. */
const STEPS = 10_000

/**
 * A window that newcomers enter and a main region that they have to earn, run by one of two rules, which may change at any time:
 *
 * - W-TinyLFU: the window goes by recency. Who leaves it contends with the next victim of the main region, a segmented LRU, and
 *   the one that came more often by the sketch stays. With a window of everything this is LRU. Room is made before a newcomer is
 *   admitted, so the contest is held when a victim is asked for: at no moment is there one entry too many.
 * - S3-FIFO, as in `s3fifo.ts`.
 */
export class Regions {
  regime: Regime
  #sketch: FrequencySketch
  #state: SlotState
  #queues: SlotQueues
  #uses: Bytes
  #ghosts = new Ghosts()
  /** What was held when a victim was last asked for. */
  #fits = 0
  /** The victim that was named and has not left yet; a contest is held once. */
  #victim = -1

  /** @param sketch what the caller counts accesses in */
  constructor (sketch: FrequencySketch, regime: Regime, state = new SlotState()) {
    this.#sketch = sketch
    this.#state = state
    this.#queues = new SlotQueues(3, state)
    this.#uses = state.uses
    this.regime = regime
  }

  get held (): number { return this.#queues.length(WINDOW) + this.#queues.length(MAIN) + this.#queues.length(PROTECTED) }
  hashOf (slot: number): number { return this.#state.hash(slot) }

  admit (slot: number, hash: number): void {
    this.#state.setHash(slot, hash)
    this.#uses.set(slot, 0)
    const isBack = this.#ghosts.recall(hash, Math.floor(this.#fits * 9 / 10))
    this.#queues.append(slot, isBack && this.regime.fifo ? MAIN : WINDOW)
    if (this.regime.fifo) this.#mergeProtected()
    else this.#shrinkWindow()
  }

  touch (slot: number): void {
    const queues = this.#queues
    const uses = this.#uses.get(slot)
    if (uses < MOST) this.#uses.set(slot, uses + 1)
    if (slot === this.#victim) this.#victim = -1
    if (this.regime.fifo) return
    const queue = queues.queueOf(slot)
    queues.move(slot, queue === WINDOW ? WINDOW : PROTECTED)
    if (queue === MAIN && queues.length(PROTECTED) > (this.held - queues.length(WINDOW)) * PROTECTED_PART) {
      queues.move(queues.head(PROTECTED), MAIN)
    }
  }

  victim (): number {
    if (this.#victim === -1) {
      this.#fits = this.held
      this.#ghosts.resize(this.#fits)
      this.#victim = this.regime.fifo ? this.#unused() : this.#loser()
    }
    return this.#victim
  }

  forget (slot: number, evicted: boolean): void {
    if (slot === this.#victim) this.#victim = -1
    if (evicted && this.#queues.queueOf(slot) === WINDOW) this.#ghosts.add(this.hashOf(slot))
    this.#queues.remove(slot)
  }

  resize (capacity: number): void { this.#state.resize(capacity) }

  /** Entries that the window is to have. */
  #room (): number { return Math.max(1, Math.round(this.held * this.regime.window)) }

  #shrinkWindow (): void {
    const room = this.#room()
    // One for the newcomer, one more for a window that was larger under the regime before.
    for (let moved = 0; moved < 2 && this.#queues.length(WINDOW) > room; moved++) this.#promote(this.#queues.head(WINDOW))
  }

  /** What the other regime left, little by little. */
  #mergeProtected (): void {
    for (let moved = 0; moved < 2 && this.#queues.length(PROTECTED) > 0; moved++) this.#queues.move(this.#queues.head(PROTECTED), MAIN)
  }

  #promote (slot: number): void {
    this.#uses.set(slot, 0)
    this.#queues.move(slot, MAIN)
  }

  /** The victim by W-TinyLFU. */
  #loser (): number {
    const queues = this.#queues
    const candidate = queues.head(WINDOW)
    const resident = queues.length(MAIN) > 0 ? queues.head(MAIN) : queues.head(PROTECTED)
    if (resident === -1) return candidate
    if (candidate === -1 || queues.length(WINDOW) < this.#room()) return resident
    if (this.#sketch.estimate(this.hashOf(candidate)) <= this.#sketch.estimate(this.hashOf(resident))) return candidate
    this.#promote(candidate)
    return resident
  }

  /** The victim by S3-FIFO. */
  #unused (): number {
    const queues = this.#queues
    const held = this.held
    if (held === 0) return -1
    for (let steps = 0; ; steps++) {
      if (queues.length(MAIN) === 0) this.#mergeProtected()
      const inWindow = queues.length(MAIN) === 0 || queues.length(WINDOW) >= held * this.regime.window
      const slot = queues.head(inWindow ? WINDOW : MAIN)
      const uses = this.#uses.get(slot)
      if (steps === STEPS || uses < (inWindow ? 2 : 1)) return slot
      this.#uses.set(slot, inWindow ? 0 : uses - 1)
      queues.move(slot, MAIN)
    }
  }
}
