import { createCipheriv, createDecipheriv, createSecretKey, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'

const ALGORITHM = 'aes-256-gcm'
const NONCE_LENGTH = 12
const TAG_LENGTH = 16
/** What was done; another way would get another number. */
const VERSION = 1

/**
 * Seals small secrets with AES-256-GCM, under keys derived (HKDF-SHA-256, RFC 5869) from the secrets given. The first one seals, all
 * of them open, so that a secret can be replaced while what the old one has sealed is in use. Nonces are random: there are few messages.
 */
export class Sealer {
  readonly #keys: readonly KeyObject[]

  /** @param purpose what the derived keys are for, and nothing else */
  constructor (secrets: readonly (string | Buffer)[], purpose: string) {
    if (secrets.length === 0) throw new TypeError('There is no secret to seal with')
    this.#keys = secrets.map((secret) => createSecretKey(Buffer.from(hkdfSync('sha256', secret, '', purpose, 32))))
  }

  /** @param bound what it can only be opened together with */
  seal (secret: Buffer, bound: string): Buffer {
    const nonce = randomBytes(NONCE_LENGTH)
    const cipher = createCipheriv(ALGORITHM, this.#keys[0]!, nonce, { authTagLength: TAG_LENGTH })
    cipher.setAAD(Buffer.from(bound))
    return Buffer.concat([Buffer.of(VERSION), nonce, cipher.update(secret), cipher.final(), cipher.getAuthTag()])
  }

  /** undefined when none of the secrets has sealed it, or when it was changed since. */
  open (sealed: Buffer, bound: string): Buffer | undefined {
    if (sealed[0] !== VERSION || sealed.length < 1 + NONCE_LENGTH + TAG_LENGTH) return undefined
    for (const key of this.#keys) {
      const decipher = createDecipheriv(ALGORITHM, key, sealed.subarray(1, 1 + NONCE_LENGTH), { authTagLength: TAG_LENGTH })
      decipher.setAAD(Buffer.from(bound))
      decipher.setAuthTag(sealed.subarray(-TAG_LENGTH))
      const opened = decipher.update(sealed.subarray(1 + NONCE_LENGTH, -TAG_LENGTH))
      try {
        decipher.final()
        return opened
      } catch {
        // Not this key's: perhaps the next one's.
      }
    }
    return undefined
  }
}
