import { FrequencySketch } from './frequency-sketch.js'
import type { Policy } from './policy.js'
import { type Regime, Regions } from './regions.js'
import { SlotState } from './slot-state.js'
import { Trials } from './trials.js'

/** Accesses per entry after which the sketch halves its counts. */
const MEMORY = 10

/** Entries that the sketch is sized for at first. */
const LEAST_ROOM = 1024

/** What costs least to begin with, whatever comes. */
const FIRST: Regime = { window: 0.2, fifo: false }
/** From frequency nearly alone to recency alone (LRU), and S3-FIFO. */
const REGIMES: readonly Regime[] = [
  { window: 0.01, fifo: false },
  FIRST,
  { window: 0.6, fifo: false },
  { window: 1, fifo: false },
  { window: 0.1, fifo: true }
]

/**
 * W-TinyLFU with a window that adapts, or S3-FIFO: whichever has the most hits lately in small trials on a sample of the keys.
 * The trials see every window at once, where climbing a hill (Einziger, Eytan, Friedman and Manes, "Adaptive Software Cache
 * Management", Middleware 2018) has to change the real one to learn anything. Until it has learned, which takes some ten times as
 * many accesses as there are entries, it is behind the best.
 */
export class AdaptivePolicy implements Policy {
  readonly usesHash = true
  #sketch = new FrequencySketch()
  #trials = new Trials(this.#sketch, REGIMES, FIRST)
  #regions: Regions

  constructor (state = new SlotState()) { this.#regions = new Regions(this.#sketch, FIRST, state) }

  admit (slot: number, _expiresAt: number, hash: number): void {
    this.#count(hash)
    this.#regions.admit(slot, hash)
  }

  touch (slot: number): void {
    this.#count(this.#regions.hashOf(slot))
    this.#regions.touch(slot)
  }

  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.touch(slot) }
  victim (): number { return this.#regions.victim() }

  forget (slot: number, evicted: boolean): void {
    if (!evicted) this.#trials.remove(this.#regions.hashOf(slot))
    this.#regions.forget(slot, evicted)
  }

  resize (capacity: number): void {
    this.#sketch.resize(capacity)
    this.#regions.resize(capacity)
  }

  #count (hash: number): void {
    const { held } = this.#regions
    // A sketch that grows counts too much for a while: a small one begins large enough.
    if (held > this.#sketch.room) this.#sketch.resize(Math.max(held, LEAST_ROOM))
    this.#sketch.add(hash, MEMORY * Math.max(held, 64))
    this.#trials.access(hash, held)
    this.#regions.regime = this.#trials.best
  }
}
