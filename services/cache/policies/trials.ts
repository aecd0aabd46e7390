import type { FrequencySketch } from './frequency-sketch.js'
import type { Regime } from './regions.js'
import { Trial } from './trial.js'

/** Entries of a trial at most. */
const SIZE = 256
/** Accesses between two looks at the hits: as many as a trial has entries, but no fewer than this. */
const LEAST_ROUND = 64
/** What the hits of a round still count after another one. */
const FADE = 0.85

/**
 * Tries regimes out on a sample of the keys, in caches that are smaller in the same proportion, and tells which one has the most
 * hits. One regime is left for another only when the difference is more than chance, in two rounds running.
 * (Miniature simulation: Waldspurger, Saemundsson, Ahmad and Park, "Cache Modeling and Optimization using Miniature
 * Simulations", USENIX ATC 2017.)
 */
export class Trials {
  best: Regime
  #sketch: FrequencySketch
  #regimes: readonly Regime[]
  #trials: Trial[] = []
  #scores: number[] = []
  /** One key of so many is in the sample, a power of two. */
  #rate = 1
  #accesses = 0
  #weight = 0
  /** Whether another regime was ahead in the round before. */
  #wasAhead = false

  constructor (sketch: FrequencySketch, regimes: readonly Regime[], first: Regime) {
    this.#sketch = sketch
    this.#regimes = regimes
    this.best = first
    this.#begin()
  }

  /** @param held the entries of the real cache */
  access (hash: number, held: number): void {
    if (!this.#isSampled(hash)) return
    const isTooFine = held > SIZE * this.#rate
    if (isTooFine || (this.#rate > 1 && held * 8 < SIZE * this.#rate)) {
      this.#rate = isTooFine ? this.#rate * 2 : this.#rate / 2
      this.#begin()
      return
    }
    const capacity = Math.max(1, Math.round(held / this.#rate))
    for (const trial of this.#trials) trial.access(hash, capacity)
    if (++this.#accesses >= Math.max(capacity, LEAST_ROUND)) this.#endRound()
  }

  /** The key was deleted. */
  remove (hash: number): void {
    if (this.#isSampled(hash)) for (const trial of this.#trials) trial.remove(hash)
  }

  #isSampled (hash: number): boolean { return (Math.imul(hash, 0x85ebca6b) >>> 0) * this.#rate < 2 ** 32 }

  #begin (): void {
    this.#trials = this.#regimes.map((regime) => new Trial(this.#sketch, regime, SIZE + 1))
    this.#scores = this.#regimes.map(() => 0)
    this.#accesses = 0
    this.#weight = 0
    this.#wasAhead = false
  }

  #endRound (): void {
    let leader = 0
    let current = 0
    for (const [at, trial] of this.#trials.entries()) {
      this.#scores[at] = (this.#scores[at] as number) * FADE + trial.hits
      trial.hits = 0
      if (this.#scores[at] > (this.#scores[leader] as number)) leader = at
      if (trial.regime === this.best) current = at
    }
    this.#weight = this.#weight * FADE + this.#accesses
    this.#accesses = 0
    const chance = 0.005 * this.#weight + 0.4 * Math.sqrt(this.#weight)
    const isAhead = (this.#scores[leader] as number) > (this.#scores[current] as number) + chance
    if (isAhead && this.#wasAhead) this.best = this.#regimes[leader] as Regime
    this.#wasAhead = isAhead && !this.#wasAhead
  }
}
