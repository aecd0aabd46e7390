import type { Policy } from './policy.js'
import { SlotList } from './slot-list.js'
import { SlotState } from './slot-state.js'

/** Least recently used: reads and writes move an entry to the young end, the old end is evicted. */
export class LruPolicy implements Policy {
  #state: SlotState
  #order: SlotList

  constructor (state = new SlotState()) {
    this.#state = state
    this.#order = new SlotList(state)
  }

  admit (slot: number): void { this.#order.append(slot) }
  touch (slot: number): void { this.#order.moveToTail(slot) }
  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.#order.moveToTail(slot) }
  victim (): number { return this.#order.head }
  forget (slot: number): void { this.#order.remove(slot) }
  resize (capacity: number): void { this.#state.resize(capacity) }
}
