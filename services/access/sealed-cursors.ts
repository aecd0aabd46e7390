import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { InvalidCursorError } from '../cache/errors.js'

/** How the places where pages end are shown. */
export interface Cursors {
  seal (place: string): string
  /** @throws InvalidCursorError for what `seal` did not make */
  open (cursor: string): string
}

/** As they are, for callers from whom nothing is hidden. */
export const OPEN: Cursors = { seal: (place) => place, open: (cursor) => cursor }

const ALGORITHM = 'aes-256-gcm'
const NONCE = 12
const TAG = 16
/** Places are filled up to a multiple of so many characters, so that their length tells nothing either. */
const STEP = 32

/**
 * Makes cursors that tell nothing, and that nobody but the one they were made for can use: the place of an entry among all entries
 * would tell how many others there are. The key is that of the process and of its life.
 */
export class SealedCursors {
  readonly #key = randomBytes(32)

  of (principal: string): Cursors {
    return { seal: (place) => this.#seal(place, principal), open: (cursor) => this.#open(cursor, principal) }
  }

  #seal (place: string, principal: string): string {
    const nonce = randomBytes(NONCE)
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce).setAAD(Buffer.from(principal))
    return Buffer.concat([nonce, cipher.update(place.padEnd(Math.ceil(place.length / STEP) * STEP)), cipher.final(), cipher.getAuthTag()]).toString('base64url')
  }

  #open (cursor: string, principal: string): string {
    const bytes = Buffer.from(cursor, 'base64url')
    if (bytes.length < NONCE + TAG) throw new InvalidCursorError()
    const decipher = createDecipheriv(ALGORITHM, this.#key, bytes.subarray(0, NONCE), { authTagLength: TAG })
      .setAAD(Buffer.from(principal)).setAuthTag(bytes.subarray(-TAG))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]).toString().trimEnd()
    } catch {
      throw new InvalidCursorError()
    }
  }
}
