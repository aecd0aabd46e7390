import { hashKey } from '../../../../services/cache/policies/hash.js'
import type { Policy } from '../../../../services/cache/policies/policy.js'
import type { Random } from '../random.js'

/** Keys, as many as fit, under a policy; nothing else of a cache. Hashes are the same in every process. */
export class Bounded {
  /** What was evicted, in order. */
  readonly evicted: string[] = []
  #policy: Policy
  #capacity: number
  #slots = new Map<string, number>()
  #keys: (string | undefined)[] = []

  constructor (policy: Policy, capacity: number) {
    this.#policy = policy
    this.#capacity = capacity
    policy.resize(capacity)
  }

  has (key: string): boolean { return this.#slots.has(key) }

  /** Uses the key, and keeps it when it is not there. Answers whether it was. */
  access (key: string): boolean {
    const slot = this.#slots.get(key)
    if (slot !== undefined) {
      this.#policy.touch(slot)
      return true
    }
    let free = this.#slots.size
    while (this.#slots.size === this.#capacity) {
      free = this.#policy.victim()
      this.evicted.push(this.#keys[free] as string)
      this.#remove(free, true)
    }
    while (this.#keys[free] !== undefined) free = (free + 1) % this.#capacity
    this.#keys[free] = key
    this.#slots.set(key, free)
    this.#policy.admit(free, Infinity, hashKey(key, 1))
    return false
  }

  delete (key: string): void {
    const slot = this.#slots.get(key)
    if (slot !== undefined) this.#remove(slot, false)
  }

  #remove (slot: number, evicted: boolean): void {
    this.#slots.delete(this.#keys[slot] as string)
    this.#keys[slot] = undefined
    this.#policy.forget(slot, evicted)
  }
}

/** A cache as its paper has it. */
export interface Reference {
  readonly evicted: readonly string[]
  access (key: string): boolean
  delete (key: string): void
}

/** The first step at which the two differ, in words; undefined when they never do. */
export function difference (policy: Policy, reference: Reference, capacity: number, random: Random): string | undefined {
  const bounded = new Bounded(policy, capacity)
  for (let step = 1; step <= 20_000; step++) {
    // Popular keys, runs of new ones, and a hot set that moves.
    const kind = Math.floor(step / 500) % 3
    const key = kind === 0 ? `k${Math.floor(capacity * 5 * random.next() ** 3)}` : kind === 1 ? `n${step % 1500}` : `h${step >> 11}:${random.below(capacity)}`
    if (random.chance(0.02)) {
      bounded.delete(key)
      reference.delete(key)
    } else if (bounded.access(key) !== reference.access(key)) return `${key} at step ${step}`
    if (bounded.evicted.at(-1) !== reference.evicted.at(-1)) return `an eviction at step ${step}: ${bounded.evicted.at(-1)}, not ${reference.evicted.at(-1)}`
  }
  if (bounded.evicted.length < 1000) return 'too few evictions to tell'
  return undefined
}
