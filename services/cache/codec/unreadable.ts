/** Why bytes that were stored are no entry any more. */
export type UnreadableReason = 'damaged' | 'unknown format' | 'unknown key' | 'no key' | 'tampered with'

/** Stored bytes that cannot be turned into an entry. It never leaves the record format: to everyone else such an entry is a miss. */
export class UnreadableError extends Error {
  readonly reason: UnreadableReason

  constructor (reason: UnreadableReason) {
    super(reason)
    this.reason = reason
  }
}
