import type { Policy } from './policy.js'
import { SlotList } from './slot-list.js'

/** First in, first out: the entry written longest ago is evicted, however often it is read. Overwriting counts as coming in anew. */
export class FifoPolicy implements Policy {
  #order = new SlotList()

  admit (slot: number): void { this.#order.append(slot) }
  touch (): void {}
  replace (slot: number, _expiresAt: number, written: boolean): void { if (written) this.#order.moveToTail(slot) }
  victim (): number { return this.#order.head }
  forget (slot: number): void { this.#order.remove(slot) }
  resize (capacity: number): void { this.#order.resize(capacity) }
}
