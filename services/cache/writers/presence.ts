import type { Now } from '../clock.js'
import { NameFilter } from '../name-filter.js'
import { nameOf } from '../in-flight.js'
import { TOMBSTONE_LIFETIME } from '../tiers/tier.js'

/** Names known not to be in the tier, though the filter has them; beyond so many all are forgotten. */
const BOUND = 100_000
const FIRST_CAPACITY = 65_536

interface Named { readonly namespace: string, readonly key: string }

/**
 * Which names the durable tier may have, so that it is not asked for those which never were: a name is added before it is written.
 * Until it has been built from what the tier has, everything may be there.
 */
export class Presence {
  #filter: NameFilter | undefined
  /** The next filter, while what the tier has is read. */
  #next: NameFilter | undefined
  #absent = new Set<string>()
  #isBuilding = false
  #now: Now
  /** Until then a write may yet arrive that was given up. */
  #inDoubtUntil = -Infinity

  /** @param isEmpty whether the tier is known to have nothing */
  constructor (isEmpty: boolean, now: Now) {
    this.#now = now
    if (isEmpty) this.#filter = new NameFilter(FIRST_CAPACITY)
  }

  get isBuilt (): boolean { return this.#filter !== undefined }
  /** Whether so much has come that it would err often, or so much gone that it does. */
  get isWorn (): boolean { return this.#filter !== undefined && !this.#isInDoubt && this.#filter.size > this.#filter.capacity }

  mayHold (name: string): boolean { return this.#filter === undefined || (this.#filter.has(name) && !this.#absent.has(name)) }
  mayHoldAny (namespace: string): boolean { return this.#filter === undefined || this.#filter.has(nameOf(namespace, '')) }

  /** To be called before the name is written, and again when it is: what is built meanwhile may have begun in between. */
  add (namespace: string, name: string): void {
    this.#absent.delete(name)
    for (const filter of [this.#filter, this.#next]) {
      filter?.add(name)
      filter?.add(nameOf(namespace, ''))
    }
  }

  /** A write failed, and may come through all the same: for a while no name that was added is taken for absent. */
  doubt (): void { this.#inDoubtUntil = this.#now() + TOMBSTONE_LIFETIME }

  /** The tier has nothing under the name, and nothing is on its way there. */
  noteAbsent (name: string): void {
    if (this.#isInDoubt) return
    if (this.#absent.size >= BOUND) this.#absent.clear()
    this.#absent.add(name)
  }

  get #isInDoubt (): boolean { return this.#now() < this.#inDoubtUntil }

  /**
   * Builds it anew.
   * @param scan reads what the tier has
   * @param pending what is on its way there
   */
  async build (scan: () => AsyncIterable<readonly Named[]>, pending: () => Iterable<Named>): Promise<void> {
    if (this.#isBuilding) return
    this.#isBuilding = true
    try {
      for (let capacity = FIRST_CAPACITY; ;) {
        const next = new NameFilter(capacity)
        this.#next = next
        for (const { namespace, key } of pending()) this.add(namespace, nameOf(namespace, key))
        for await (const portion of scan()) {
          for (const { namespace, key } of portion) {
            next.add(nameOf(namespace, key))
            next.add(nameOf(namespace, ''))
          }
        }
        if (next.size <= next.capacity) break
        capacity = 2 * next.size
      }
      this.#filter = this.#next
      this.#absent.clear()
    } finally {
      this.#next = undefined
      this.#isBuilding = false
    }
  }
}
