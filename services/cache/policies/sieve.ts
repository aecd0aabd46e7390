import type { Bytes } from '../rows.js'
import type { Policy } from './policy.js'
import { SlotList } from './slot-list.js'
import { SlotState } from './slot-state.js'

/** Entries that one search for a victim spares at most, so that no write waits for a pass over millions. */
const STEPS = 10_000

/**
 * SIEVE: entries stand in the order they came in, a hand goes from the oldest to the newest and round again, spares those that
 * were used since it last came by, and stops at the first that was not.
 * (Zhang, Yang, Yue, Vigfusson and Rashmi, "SIEVE is Simpler than LRU", NSDI 2024.)
 */
export class SievePolicy implements Policy {
  #state: SlotState
  #order: SlotList
  #used: Bytes
  /** Where the next search begins; -1 is at the oldest. */
  #hand = -1

  constructor (state = new SlotState()) {
    this.#state = state
    this.#order = new SlotList(state)
    this.#used = state.uses
  }

  admit (slot: number): void {
    this.#order.append(slot)
    this.#used.set(slot, 0)
  }

  touch (slot: number): void { this.#used.set(slot, 1) }
  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.#used.set(slot, 1) }

  victim (): number {
    let slot = this.#hand === -1 ? this.#order.head : this.#hand
    if (slot === -1) return -1
    for (let steps = 0; this.#used.get(slot) === 1; steps++) {
      this.#used.set(slot, 0)
      if (steps === STEPS) break
      slot = this.#order.next(slot)
      if (slot === -1) slot = this.#order.head
    }
    this.#hand = slot
    return slot
  }

  forget (slot: number): void {
    if (slot === this.#hand) this.#hand = this.#order.next(slot)
    this.#order.remove(slot)
  }

  resize (capacity: number): void { this.#state.resize(capacity) }
}
