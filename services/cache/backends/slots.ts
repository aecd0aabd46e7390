import type { EncodedValue } from '../entry.js'

/** What only some entries have. */
export interface Extras {
  readonly tags: readonly string[]
  readonly metadata: string | undefined
  /** See `StoredEntry`. */
  readonly storedLength: number | undefined
}

const INITIAL = 1024

/**
 * The entries of the memory backend by columns. An entry is a slot, an index into every column: a slot costs a fixed number of
 * bytes and no object of its own, which is what keeps a million small entries small. Times are milliseconds since the epoch.
 */
export class Slots<Space> {
  capacity = 0
  /** Slots below this one have been in use. */
  high = 0
  spaces: (Space | undefined)[] = []
  keys: string[] = []
  values: EncodedValue[] = []
  extras: (Extras | undefined)[] = []
  versions = new Float64Array(0)
  stamps = new Float64Array(0)
  createdAt = new Float64Array(0)
  accessedAt = new Float64Array(0)
  expiresAt = new Float64Array(0)
  goneAt = new Float64Array(0)
  sizes = new Float64Array(0)
  accessCounts = new Uint32Array(0)
  /** The ledger's revision at which the entry was last held against it. */
  checked = new Float64Array(0)
  strategies = new Uint8Array(0)
  dataTypes = new Uint8Array(0)
  #free: number[] = []

  #onGrow: (capacity: number) => void

  /** @param onGrow told of the new capacity, before a slot beyond the old one is given out */
  constructor (onGrow: (capacity: number) => void) { this.#onGrow = onGrow }

  take (): number {
    const free = this.#free.pop()
    if (free !== undefined) return free
    if (this.high === this.capacity) this.#grow()
    return this.high++
  }

  release (slot: number): void {
    this.spaces[slot] = undefined
    this.keys[slot] = ''
    this.values[slot] = ''
    this.extras[slot] = undefined
    this.#free.push(slot)
  }

  #grow (): void {
    this.capacity = Math.max(INITIAL, this.capacity * 2)
    const doubles = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const longer = new Float64Array(this.capacity)
      longer.set(old)
      return longer
    }
    const bytes = (old: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => {
      const longer = new Uint8Array(this.capacity)
      longer.set(old)
      return longer
    }
    this.versions = doubles(this.versions)
    this.stamps = doubles(this.stamps)
    this.createdAt = doubles(this.createdAt)
    this.accessedAt = doubles(this.accessedAt)
    this.expiresAt = doubles(this.expiresAt)
    this.goneAt = doubles(this.goneAt)
    this.sizes = doubles(this.sizes)
    this.checked = doubles(this.checked)
    const counts = new Uint32Array(this.capacity)
    counts.set(this.accessCounts)
    this.accessCounts = counts
    this.strategies = bytes(this.strategies)
    this.dataTypes = bytes(this.dataTypes)
    this.#onGrow(this.capacity)
  }
}
