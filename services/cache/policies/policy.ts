/**
 * An eviction policy: it orders entries and names the next victim. It knows entries by their slot, a small integer that the
 * memory backend gives out and reuses, and stores neither keys nor values, so that its state fits in typed arrays.
 *
 * How many entries fit is not told: limits by bytes may bind before the limit by count, and both may change. When a victim is
 * asked for, what is held is what fits.
 */
export interface Policy {
  /** Whether `admit` is to be given the hash of the key; without it the hash is 0. */
  readonly usesHash?: boolean
  /**
   * An entry is stored in a free slot, after room was made for it. `expiresAt` in milliseconds, Infinity when never; `hash` is
   * what tells keys that come back (see `hash.ts`): 32 bits, as a signed integer.
   */
  admit (slot: number, expiresAt: number, hash: number): void
  /** The entry was read. */
  touch (slot: number): void
  /** The entry was overwritten under its key, or its expiry changed (`written` tells which). */
  replace (slot: number, expiresAt: number, written: boolean): void
  /** The entry to evict next, -1 when there is none. Asking again gives the same: the caller evicts, then calls `forget`. */
  victim (): number
  /** The entry left: `evicted` to make room, or else because it expired, fell to an invalidation, or moved to another policy. */
  forget (slot: number, evicted: boolean): void
  /** Slots up to `capacity` (exclusive) may come; what is held stays. */
  resize (capacity: number): void
  /**
   * An entry comes from an earlier process, with the uses that it had. For a policy that counts them: entries come with the most
   * uses first, among equals the one used longest ago, and before any is admitted. Others are given them by `admit` and `touch`.
   */
  restore? (slot: number, expiresAt: number, uses: number): void
}
