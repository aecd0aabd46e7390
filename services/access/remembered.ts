import type { Authenticator } from './authenticator.js'
import type { Principal } from './principal.js'

export interface RememberedOptions {
  /** Credentials at most. Default 10 000. */
  maxCount?: number
  /** Characters at most, of all of them together. Default 8 Mi. */
  maxLength?: number
  /** Milliseconds since 1970. */
  now?: () => number
}

interface Entry {
  readonly principal: Principal
  readonly authenticator: Authenticator
  readonly epoch: number
  /** Used since it was last passed over. */
  used: boolean
}

/**
 * Who the bearers of credentials are that have been checked before, so that a digest or a signature is checked once and not with each
 * request. What is found here is held each time against its expiry and the epoch of who checked it; what was invalid is never kept. The
 * table is bounded: of those that nobody used lately, the oldest makes room (second chance).
 */
export class Remembered {
  readonly #entries = new Map<string, Entry>()
  readonly #maxCount: number
  readonly #maxLength: number
  readonly #now: () => number
  #length = 0
  /** Who comes again and again is not looked up each time: that takes a hash of all of the text. */
  #last: string | undefined
  #lastEntry: Entry | undefined

  constructor ({ maxCount = 10_000, maxLength = 8 * 1024 * 1024, now = Date.now }: RememberedOptions = {}) {
    this.#maxCount = maxCount
    this.#maxLength = maxLength
    this.#now = now
  }

  get size (): number {
    return this.#entries.size
  }

  /** Whose credential it is, and who said so; undefined when that has to be found out anew. */
  get (credential: string): { principal: Principal, authenticator: Authenticator } | undefined {
    const entry = credential === this.#last ? this.#lastEntry : this.#entries.get(credential)
    if (entry === undefined) return undefined
    const { principal: { expiresAt }, authenticator, epoch } = entry
    if (authenticator.epoch !== epoch || (expiresAt !== undefined && expiresAt <= this.#now())) {
      this.#forget(credential)
      return undefined
    }
    entry.used = true
    this.#last = credential
    this.#lastEntry = entry
    return entry
  }

  /** @param epoch that of the authenticator before it looked */
  put (credential: string, principal: Principal, authenticator: Authenticator, epoch: number): void {
    if (credential.length > this.#maxLength) return
    this.#forget(credential)
    this.#entries.set(credential, { principal, authenticator, epoch, used: false })
    this.#length += credential.length
    while (this.#entries.size > this.#maxCount || this.#length > this.#maxLength) this.#makeRoom()
  }

  #makeRoom (): void {
    for (const [credential, entry] of this.#entries) {
      if (!entry.used) {
        this.#forget(credential)
        return
      }
      entry.used = false
      this.#entries.delete(credential)
      this.#entries.set(credential, entry)
    }
  }

  #forget (credential: string): void {
    if (!this.#entries.delete(credential)) return
    this.#length -= credential.length
    if (credential === this.#last) this.#last = this.#lastEntry = undefined
  }
}
