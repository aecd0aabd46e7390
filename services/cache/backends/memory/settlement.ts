import { STRATEGIES } from '../../entry.js'
import { inSlices, sortedInSlices } from '../../slices.js'
import type { Holdings } from './holdings.js'

/** Segments that are in the order of the last use. */
const RECENCY = new Set((['lru', 'lfu', 'adaptive'] as const).map((policy) => STRATEGIES.indexOf(policy)))

/** Brings what is held to new limits and quotas, in slices of a few milliseconds. Meanwhile no write makes more of what is too much. */
export class Settlement {
  #holdings: Holdings
  /** Namespaces whose entries are in another pool than they belong to. */
  #misplaced = new Set<string>()
  #done: Promise<void> = Promise.resolve()

  constructor (holdings: Holdings) { this.#holdings = holdings }

  /** Settles when what the limits and quotas have no room for is gone. */
  get done (): Promise<void> { return this.#done }

  /** @param misplaced namespaces whose entries have come to belong to another pool */
  begin (misplaced: Iterable<string>): void {
    for (const namespace of misplaced) this.#misplaced.add(namespace)
    if (!this.#holdings.isSettling) this.#done = this.#settle()
  }

  /** First entries go where they belong, so that those of a namespace give way to each other alone; then what is too much goes. */
  async #settle (): Promise<void> {
    const holdings = this.#holdings
    holdings.isSettling = true
    while (!holdings.isDiscarded) {
      const [misplaced] = this.#misplaced
      if (misplaced !== undefined) {
        this.#misplaced.delete(misplaced)
        await this.#place(misplaced)
        continue
      }
      const pool = holdings.pools.over()
      if (pool === undefined) break
      await inSlices(Infinity, () => !holdings.isDiscarded && holdings.relieve(pool))
    }
    holdings.isSettling = false
  }

  /** Brings the entries of a namespace into the pool they belong to, in the order of their use; `lfu` counts uses anew from then on. */
  async #place (namespace: string): Promise<void> {
    const { slots, pools, lookup } = this.#holdings
    const space = lookup.spaces.get(namespace)
    if (space !== undefined) {
      const isMisplaced = (slot: number): boolean => this.#holdings.spaceOf(slot) === space && this.#holdings.poolOf(slot) !== pools.of(namespace)
      const found = new Int32Array(space.items)
      let count = 0
      await this.#holdings.each((slot) => { if (isMisplaced(slot)) found[count++] = slot })
      const ordered = await sortedInSlices(found.subarray(0, count), (slot) => this.#lastMove(slot))
      await inSlices(count, (at) => {
        if (this.#holdings.isDiscarded) return false
        const slot = ordered[at] as number
        if (slots.space(slot) !== -1 && isMisplaced(slot)) this.#holdings.move(slot, pools.of(namespace))
        return true
      })
    }
    pools.close(namespace)
  }

  /** When the entry last moved in its policy: a queue does not move for reads. */
  #lastMove (slot: number): number {
    const { slots } = this.#holdings
    return RECENCY.has(this.#holdings.segmentOf(slot)) ? slots.accessedAt(slot) : slots.createdAt(slot)
  }
}
