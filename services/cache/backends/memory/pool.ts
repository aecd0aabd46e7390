import { policyOf, STRATEGIES } from '../../entry.js'
import type { Quota } from '../../limits.js'
import { policies } from '../../policies/index.js'
import type { Policy } from '../../policies/policy.js'
import type { SlotState } from '../../policies/slot-state.js'
import { Bounds } from '../bounds.js'

/** The segment of each strategy: the place of its policy among STRATEGIES. */
export const SEGMENTS: readonly number[] = STRATEGIES.map((strategy) => STRATEGIES.indexOf(policyOf(strategy)))

/**
 * Entries that share limits, in a segment for each policy. Whoever needs room gets it from its own pool, and there from its own
 * segment first.
 */
export class Pool extends Bounds {
  /** What it may hold now: more than `maxItems` and `maxMemory` only while these have been lowered and are being reached. */
  #mostItems = 0
  #mostBytes = 0
  #state: SlotState
  #policies: (Policy | undefined)[] = STRATEGIES.map(() => undefined)
  #populations = STRATEGIES.map(() => 0)

  constructor (state: SlotState, quota: Quota) {
    super(quota)
    this.#state = state
  }

  /** To be called before each write: a pool that holds too much still is to hold no more than it does. */
  bound (): void {
    this.#mostItems = Math.max(this.maxItems, this.items)
    this.#mostBytes = Math.max(this.maxMemory, this.bytes)
  }

  /** Whether so much more fits in. */
  hasRoom (bytes: number, items: number): boolean { return this.bytes + bytes <= this.#mostBytes && this.items + items <= this.#mostItems }

  /** Made when its first entry comes. */
  policy (segment: number): Policy {
    let policy = this.#policies[segment]
    if (policy === undefined) {
      policy = new policies[policyOf(STRATEGIES[segment]!)](this.#state)
      this.#policies[segment] = policy
    }
    return policy
  }

  admit (slot: number, segment: number, expiresAt: number, hash: number): void {
    this.#populations[segment]!++
    this.policy(segment).admit(slot, expiresAt, hash)
  }

  /** @param evicted to make room: see `Policy.forget` */
  forget (slot: number, segment: number, evicted: boolean): void {
    this.#populations[segment]!--
    this.policy(segment).forget(slot, evicted)
  }

  /** Who has to go next: of the segment, or, when it has nobody, of the largest. -1 when there is nobody at all. */
  victim (segment: number): number {
    const victim = this.#policies[segment]?.victim() ?? -1
    if (victim !== -1) return victim
    const largest = this.#populations.indexOf(Math.max(...this.#populations))
    return this.#policies[largest]?.victim() ?? -1
  }
}
