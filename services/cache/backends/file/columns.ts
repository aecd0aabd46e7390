const INITIAL = 1024

/** What the index knows of entries, by columns: an entry is a slot, an index into each. Times are milliseconds since the epoch. */
export class Columns<Space> {
  capacity = 0
  /** Slots below this one have been in use. */
  high = 0
  spaces: (Space | undefined)[] = []
  keys: string[] = []
  /** Only of those that have any. */
  readonly tags = new Map<number, readonly string[]>()
  versions = new Float64Array(0)
  stamps = new Float64Array(0)
  orders = new Float64Array(0)
  expiresAt = new Float64Array(0)
  goneAt = new Float64Array(0)
  accessedAt = new Float64Array(0)
  /** The place of the last use in the order of all. */
  used = new Float64Array(0)
  sizes = new Uint32Array(0)
  reads = new Uint32Array(0)
  uses = new Uint32Array(0)
  /** Of the policy: see `segmentOf`. */
  strategies = new Uint8Array(0)
  /** See `EntryIndex`. */
  flags = new Uint8Array(0)
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
    this.tags.delete(slot)
    this.sizes[slot] = 0
    this.flags[slot] = 0
    this.#free.push(slot)
  }

  #grow (): void {
    this.capacity = Math.max(INITIAL, this.capacity * 2)
    const longer = <A extends Float64Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Uint8Array<ArrayBuffer>>(old: A, empty: A): A => {
      empty.set(old)
      return empty
    }
    const doubles = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => longer(old, new Float64Array(this.capacity))
    const counts = (old: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> => longer(old, new Uint32Array(this.capacity))
    const bytes = (old: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> => longer(old, new Uint8Array(this.capacity))
    this.versions = doubles(this.versions)
    this.stamps = doubles(this.stamps)
    this.orders = doubles(this.orders)
    this.expiresAt = doubles(this.expiresAt)
    this.goneAt = doubles(this.goneAt)
    this.accessedAt = doubles(this.accessedAt)
    this.used = doubles(this.used)
    this.sizes = counts(this.sizes)
    this.reads = counts(this.reads)
    this.uses = counts(this.uses)
    this.strategies = bytes(this.strategies)
    this.flags = bytes(this.flags)
    this.#onGrow(this.capacity)
  }
}
