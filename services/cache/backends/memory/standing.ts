import type { Now } from '../../clock.js'
import { goneAfterSoft, isDurable, STRATEGIES } from '../../entry.js'
import type { CountersByNamespace } from '../../statistics.js'
import type { Holdings, MemoryCounters } from './holdings.js'
import type { Space } from './spaces.js'

/** Whether entries still stand, against time and the invalidations of their namespace; those that do not go. */
export class Standing {
  #holdings: Holdings
  #now: Now
  #removals: CountersByNamespace<MemoryCounters>

  constructor (holdings: Holdings, now: Now, removals: CountersByNamespace<MemoryCounters>) {
    this.#holdings = holdings
    this.#now = now
    this.#removals = removals
  }

  /** Whether the entry still stands, be it stale; drops it when it does not. */
  check (slot: number, space: Space): boolean {
    const { slots } = this.#holdings
    if (slots.goneAt(slot) <= this.#now()) {
      this.#removals.of(space.name).expirations++
      this.#holdings.release(slot)
      return false
    }
    const { revision } = space.ledger
    return revision === 0 || slots.checked(slot) >= revision || this.#passes(slot, space)
  }

  /** Holds the entry against the invalidations that came since it was last held against them. */
  #passes (slot: number, space: Space): boolean {
    const { slots } = this.#holdings
    const marker = space.ledger.verdict(slots.key(slot), slots.tags(slot), slots.stamp(slot), slots.checked(slot))
    slots.setChecked(slot, space.ledger.revision)
    if (marker === undefined) return true
    const now = this.#now()
    const times = { expiresAt: slots.expiresAt(slot), goneAt: slots.goneAt(slot) }
    const stays = marker.soft && times.goneAt !== times.expiresAt
    // What the durable tier has as well is counted there.
    if (slots.isFresh(slot, now) && !isDurable(STRATEGIES[slots.strategy(slot)]!)) marker[stays ? 'outdated' : 'removed']++
    if (stays) {
      this.#holdings.expire(slot, Math.min(times.expiresAt, now), goneAfterSoft(times, now))
      return true
    }
    this.#holdings.release(slot)
    return false
  }
}
