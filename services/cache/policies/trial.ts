import type { FrequencySketch } from './frequency-sketch.js'
import { type Regime, Regions } from './regions.js'

/** A small cache of hashes alone, that tells how many hits a regime would have had. */
export class Trial {
  readonly regime: Regime
  hits = 0
  #regions: Regions
  #held = 0
  /** An index from hash to slot: the first slot of each bucket, and the next one of the same bucket. Free slots are chained, too. */
  #first: Int32Array
  #next: Int32Array
  #free = 0

  /** @param most the entries it may ever hold */
  constructor (sketch: FrequencySketch, regime: Regime, most: number) {
    this.regime = regime
    this.#regions = new Regions(sketch, regime)
    this.#regions.resize(most)
    this.#first = new Int32Array(2 ** Math.ceil(Math.log2(most))).fill(-1)
    this.#next = Int32Array.from({ length: most }, (_, slot) => slot + 1)
  }

  /** @param capacity the entries it may hold now */
  access (hash: number, capacity: number): void {
    const slot = this.#find(hash)
    if (slot !== -1) {
      this.hits++
      this.#regions.touch(slot)
      return
    }
    while (this.#held >= capacity) this.#drop(this.#regions.victim(), true)
    const free = this.#free
    this.#free = this.#next[free] as number
    const bucket = this.#bucket(hash)
    this.#next[free] = this.#first[bucket] as number
    this.#first[bucket] = free
    this.#held++
    this.#regions.admit(free, hash)
  }

  remove (hash: number): void {
    const slot = this.#find(hash)
    if (slot !== -1) this.#drop(slot, false)
  }

  #bucket (hash: number): number { return hash & (this.#first.length - 1) }

  #find (hash: number): number {
    let slot = this.#first[this.#bucket(hash)] as number
    while (slot !== -1 && this.#regions.hashOf(slot) !== hash) slot = this.#next[slot] as number
    return slot
  }

  #drop (slot: number, evicted: boolean): void {
    const bucket = this.#bucket(this.#regions.hashOf(slot))
    const next = this.#next[slot] as number
    if (this.#first[bucket] === slot) this.#first[bucket] = next
    else {
      let before = this.#first[bucket] as number
      while (this.#next[before] !== slot) before = this.#next[before] as number
      this.#next[before] = next
    }
    this.#next[slot] = this.#free
    this.#free = slot
    this.#held--
    this.#regions.forget(slot, evicted)
  }
}
