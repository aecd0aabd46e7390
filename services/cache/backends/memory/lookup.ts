import type { Ledger } from '../../ledger.js'
import { hashKey, sampleKey } from '../../policies/hash.js'
import { KeyIndex } from './key-index.js'
import { RecentKeys } from './recent-keys.js'
import type { Slots } from './slots.js'
import { type Space, Spaces } from './spaces.js'

/** Where a key is that has to be looked up. */
const UNKNOWN = -2

/** Where the keys of all namespaces are: among those looked up lately, or in the index. */
export class Lookup {
  readonly spaces: Spaces
  readonly recent: RecentKeys
  #slots: Slots
  #index: KeyIndex
  /** What was looked up last: whoever writes has looked before. */
  #lastKey = ''
  #lastSalt = 0
  #lastHash = 0
  #lastSlot = UNKNOWN
  #lastSlotKey = ''
  #lastSpace: Space | undefined

  constructor (slots: Slots, ledger: Ledger) {
    this.#slots = slots
    this.spaces = new Spaces(ledger)
    this.recent = new RecentKeys(slots)
    this.#index = new KeyIndex(slots)
  }

  /** The slot of a key, whatever the state of its entry; -1 when there is none. */
  find (space: Space, key: string): number {
    const sample = sampleKey(key, space.salt)
    let slot = this.recent.find(space.number, key, sample)
    if (slot === -1) slot = this.#search(space, key, sample)
    this.#lastSlot = slot
    this.#lastSlotKey = key
    this.#lastSpace = space
    return slot
  }

  /** The same for whoever has probably asked just before. */
  locate (namespace: string, key: string): number {
    const space = this.spaces.get(namespace)
    if (space === undefined) return -1
    if (this.#lastSlot !== UNKNOWN && key === this.#lastSlotKey && space === this.#lastSpace) return this.#lastSlot
    return this.#index.find(space.number, key, this.#hash(space, key))
  }

  /** A slot for a key that has none. */
  add (space: Space, key: string): number {
    const slot = this.#slots.take(key, this.#hash(space, key), space.number)
    this.#index.add(slot)
    this.#lastSlot = UNKNOWN
    return slot
  }

  remove (slot: number): void {
    this.#index.remove(slot)
    this.#slots.release(slot)
    this.#lastSlot = UNKNOWN
  }

  /** The slot of a key that is not among the recent ones. */
  #search (space: Space, key: string, sample: number): number {
    const hash = hashKey(key, space.salt)
    this.#lastKey = key
    this.#lastSalt = space.salt
    this.#lastHash = hash
    const slot = this.#index.find(space.number, key, hash)
    if (slot !== -1) this.recent.note(slot, sample)
    return slot
  }

  /** The hash of the key, which was probably looked up just before. */
  #hash ({ salt }: Space, key: string): number {
    return key === this.#lastKey && salt === this.#lastSalt ? this.#lastHash : hashKey(key, salt)
  }
}
