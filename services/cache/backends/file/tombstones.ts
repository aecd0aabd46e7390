/** Deletions that are remembered one by one. */
const BOUND = 10_000

/**
 * The stamps at which keys were deleted, which loads that began before are held against. Those loads are all in this process, since
 * the store takes no other, and end with it: so this is kept in memory alone. Beyond the bound the oldest deletion is forgotten,
 * and every load that began before it counts as too old, whatever its key.
 */
export class Tombstones {
  #stamps = new Map<string, number>()
  #floor = 0

  note (name: string, stamp: number): void {
    this.#stamps.delete(name)
    this.#stamps.set(name, stamp)
    if (this.#stamps.size <= BOUND) return
    const [oldest, floor] = this.#stamps.entries().next().value as [string, number]
    this.#stamps.delete(oldest)
    this.#floor = floor
  }

  /** The stamp of the last deletion of the key, as far as it is known: never too low. */
  newest (name: string): number { return this.#stamps.get(name) ?? this.#floor }
}
