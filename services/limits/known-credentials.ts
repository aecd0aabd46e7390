import { randomBytes } from 'node:crypto'

const SLOTS = 8192

/**
 * Credentials that were valid lately, by a hash of theirs. One that is found here may be tried, and is checked as any other: what is kept
 * are 32 bits, under a seed of this process, from which nothing can be learnt. A newer one takes the place of an older.
 */
export class KnownCredentials {
  readonly #tags = new Uint32Array(SLOTS)
  readonly #seed = randomBytes(4).readUInt32LE()
  /** Who comes again and again is not hashed each time. */
  #last = ''

  add (credential: string): void {
    if (credential === this.#last) return
    this.#last = credential
    const hash = this.#hash(credential)
    this.#tags[hash % SLOTS] = hash
  }

  has (credential: string): boolean {
    const hash = this.#hash(credential)
    return this.#tags[hash % SLOTS] === hash
  }

  /** It was tried, and is valid no more. */
  delete (credential: string): void {
    this.#last = ''
    const hash = this.#hash(credential)
    if (this.#tags[hash % SLOTS] === hash) this.#tags[hash % SLOTS] = 0
  }

  /** FNV-1a, and a mix of its bits at the end. Never 0, which marks an empty slot. */
  #hash (text: string): number {
    let hash = this.#seed
    for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
    hash = Math.imul(hash ^ hash >>> 16, 0x45d9f3b)
    return (hash ^ hash >>> 13) >>> 0 || 1
  }
}
