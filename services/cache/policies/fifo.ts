import type { Policy } from './policy.js'
import { SlotList } from './slot-list.js'
import { SlotState } from './slot-state.js'

/** First in, first out: the entry written longest ago is evicted, however often it is read. Overwriting counts as coming in anew. */
export class FifoPolicy implements Policy {
  #state: SlotState
  #order: SlotList

  constructor (state = new SlotState()) {
    this.#state = state
    this.#order = new SlotList(state)
  }

  admit (slot: number): void { this.#order.append(slot) }
  touch (): void {}
  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.#order.moveToTail(slot) }
  victim (): number { return this.#order.head }
  forget (slot: number): void { this.#order.remove(slot) }
  resize (capacity: number): void { this.#state.resize(capacity) }
}
