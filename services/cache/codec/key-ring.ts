import { hkdfSync, type KeyObject } from 'node:crypto'
import { type KeySource, KeyTextError } from './key-source.js'

/** What tells keys apart in records. */
export const FINGERPRINT_LENGTH = 8

export interface RingKey {
  /** Derived from the key: a key may get a name, or another one, and what it sealed stays readable. */
  readonly fingerprint: Buffer
  readonly key: KeyObject
}

/** The keys that entries are sealed with. */
export class KeyRing {
  /** Seals what is written; all of them open. */
  readonly first: RingKey
  #keys: RingKey[]

  private constructor (keys: [RingKey, ...RingKey[]]) {
    this.first = keys[0]
    this.#keys = keys
  }

  /**
   * @param sources the first one writes
   * @throws KeyTextError when one comes twice
   */
  static async open (sources: readonly KeySource[]): Promise<KeyRing> {
    const keys: RingKey[] = []
    for (const source of sources) {
      const key = await source.key()
      const fingerprint = Buffer.from(hkdfSync('sha256', key, '', 'larder: fingerprint of a key', FINGERPRINT_LENGTH))
      if (keys.some((known) => known.fingerprint.equals(fingerprint))) throw new KeyTextError('has the same key twice: leave one out')
      keys.push({ fingerprint, key })
    }
    if (keys.length === 0) throw new KeyTextError('holds no key')
    return new KeyRing(keys as [RingKey, ...RingKey[]])
  }

  find (fingerprint: Buffer): RingKey | undefined {
    return this.#keys.find((key) => key.fingerprint.equals(fingerprint))
  }
}
