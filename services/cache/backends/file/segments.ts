import { policyOf, type Strategy, STRATEGIES } from '../../entry.js'
import type { Quota } from '../../limits.js'
import { hashKey } from '../../policies/hash.js'
import { policies } from '../../policies/index.js'
import type { Policy } from '../../policies/policy.js'
import type { SlotState } from '../../policies/slot-state.js'
import { Bounds } from '../bounds.js'
import type { Restored } from './restoring.js'

/**
 * Entries that share limits, by the eviction policy they are kept under. Policies go by the place of their strategy in STRATEGIES:
 * see `segmentOf`.
 */
export class Segments extends Bounds {
  #state: SlotState
  /** From its first entry on. */
  #policies: (Policy | undefined)[] = STRATEGIES.map(() => undefined)
  #populations = STRATEGIES.map(() => 0)

  /** @param state of all slots, in whichever segment they are */
  constructor (state: SlotState, quota: Quota) {
    super(quota)
    this.#state = state
  }

  admit (slot: number, strategy: number, expiresAt: number, namespace: string, key: string): void {
    const policy = this.#policy(strategy)
    policy.admit(slot, expiresAt, policy.usesHash === true ? hashKey(key, hashKey(namespace)) : 0)
    this.#populations[strategy]!++
  }

  touch (slot: number, strategy: number): void { this.#policies[strategy]!.touch(slot) }
  replace (slot: number, strategy: number, expiresAt: number, written: boolean): void { this.#policies[strategy]!.replace(slot, expiresAt, written) }

  forget (slot: number, strategy: number, evicted: boolean): void {
    this.#policies[strategy]!.forget(slot, evicted)
    this.#populations[strategy]!--
  }

  /** Who goes next: of those under the strategy, else of the largest segment; -1 when there is nobody. */
  victim (strategy: number): number {
    const own = this.#policies[strategy]?.victim() ?? -1
    return own === -1 ? this.#policies[this.#populations.indexOf(Math.max(...this.#populations))]?.victim() ?? -1 : own
  }

  /** Who goes next under the strategy alone. */
  ownVictim (strategy: number): number { return this.#policies[strategy]?.victim() ?? -1 }

  /** Takes the entries that a segment is to have, and no others, in the order that their policy needs: see `restoring.ts`. */
  restore (strategy: number, entries: Iterable<Restored>): void {
    this.#policies[strategy] = undefined
    this.#populations[strategy] = 0
    const policy = this.#policy(strategy)
    for (const { slot, expiresAt, uses, namespace, key } of entries) {
      this.#populations[strategy]++
      if (policy.restore !== undefined) {
        policy.restore(slot, expiresAt, uses)
        continue
      }
      policy.admit(slot, expiresAt, policy.usesHash === true ? hashKey(key, hashKey(namespace)) : 0)
      for (let touches = Math.min(uses - 1, MOST_TOUCHES); touches > 0; touches--) policy.touch(slot)
    }
  }

  #policy (strategy: number): Policy {
    let policy = this.#policies[strategy]
    if (policy === undefined) {
      policy = new policies[policyOf(STRATEGIES[strategy]!)](this.#state)
      this.#policies[strategy] = policy
    }
    return policy
  }
}

/** Where entries of a strategy are kept. */
export const segmentOf = (strategy: Strategy): number => STRATEGIES.indexOf(policyOf(strategy))

/** Uses that policies with counters tell apart. */
const MOST_TOUCHES = 3
