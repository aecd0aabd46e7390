/**
 * An eviction policy: it orders entries and names the next victim. It knows entries by their slot, a small integer that the
 * memory backend gives out and reuses, and stores neither keys nor values, so that its state fits in typed arrays.
 */
export interface Policy {
  /** An entry is stored in a free slot. `expiresAt` in milliseconds, Infinity when never. */
  admit (slot: number, expiresAt: number): void
  /** The entry was read. */
  touch (slot: number): void
  /** The entry was overwritten under its key, or its expiry changed (`written` tells which). */
  replace (slot: number, expiresAt: number, written: boolean): void
  /** The entry to evict next, -1 when there is none. Asking changes nothing: the caller evicts, then calls `forget`. */
  victim (): number
  /** The entry left: evicted, expired, deleted. */
  forget (slot: number): void
  /** Slots up to `capacity` (exclusive) may come; what is held stays. */
  resize (capacity: number): void
}

/** A longer copy of a typed array. */
export function grown (array: Int32Array<ArrayBuffer>, length: number, fill = 0): Int32Array<ArrayBuffer> {
  const copy = new Int32Array(length)
  if (fill !== 0) copy.fill(fill, array.length)
  copy.set(array)
  return copy
}
