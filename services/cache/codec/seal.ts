import { createCipheriv, createDecipheriv, createSecretKey, type DecipherGCM, hkdfSync, type KeyObject, randomBytes } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { MaybePromise } from '../stores/store.js'
import { FINGERPRINT_LENGTH, type KeyRing, type RingKey } from './key-ring.js'
import { UnreadableError } from './unreadable.js'

/** What was done to a record. The numbers are stored. */
export const ENCRYPTION = { none: 0, aesGcm: 1 } as const

const ALGORITHM = 'aes-256-gcm'
const SALT_LENGTH = 16
const COUNTER_LENGTH = 8
/** In front of the sealed tags and metadata: which key, which subkey of it, which of its messages. */
export const SEAL_LENGTH = FINGERPRINT_LENGTH + SALT_LENGTH + COUNTER_LENGTH
/** What sealing makes a part longer by: the authentication tag. */
export const TAG_LENGTH = 16
/** Records sealed with one subkey. NIST SP 800-38D allows so many even where nonces are random; here they are counted. */
const RECORDS_PER_SUBKEY = 2 ** 32
/** Subkeys of other processes that are remembered. */
const REMEMBERED = 1024
/** Bytes that are worked on before others get the event loop: about a millisecond. */
const SLICE = 4 * 1024 * 1024

/** Parts of one record, sealed apart so that a scan opens the first alone. */
export const PART = { extras: 1, value: 2 } as const
type Part = typeof PART[keyof typeof PART]

/** Seals the parts of one record. */
export interface Seal {
  readonly mark: Buffer
  readonly subkey: KeyObject
}

/**
 * AES-256-GCM under subkeys: every process derives one of its own from the ring's first key and 128 random bits (HKDF, RFC 5869), and
 * counts its messages in the nonce (NIST SP 800-38D, 8.2.1). So no nonce comes twice under a key, however many processes write
 * however much, which random nonces under one key could not promise past 2^32 messages.
 */
export class Sealer {
  #ring: KeyRing
  #subkeys = new Map<string, KeyObject>()
  #salt = randomBytes(SALT_LENGTH)
  #own: KeyObject
  #counter = 0

  constructor (ring: KeyRing) {
    this.#ring = ring
    this.#own = derive(ring.first, this.#salt)
  }

  /** For one record, and no other. */
  begin (): Seal {
    if (this.#counter >= RECORDS_PER_SUBKEY) {
      this.#salt = randomBytes(SALT_LENGTH)
      this.#own = derive(this.#ring.first, this.#salt)
      this.#counter = 0
    }
    const mark = Buffer.allocUnsafe(SEAL_LENGTH)
    this.#ring.first.fingerprint.copy(mark)
    this.#salt.copy(mark, FINGERPRINT_LENGTH)
    mark.writeBigUInt64LE(BigInt(this.#counter++), FINGERPRINT_LENGTH + SALT_LENGTH)
    return { mark, subkey: this.#own }
  }

  /** @throws UnreadableError when the key is not in the ring */
  recall (mark: Buffer): Seal {
    const name = mark.toString('latin1', 0, FINGERPRINT_LENGTH + SALT_LENGTH)
    let subkey = this.#subkeys.get(name)
    if (subkey === undefined) {
      const key = this.#ring.find(mark.subarray(0, FINGERPRINT_LENGTH))
      if (key === undefined) throw new UnreadableError('unknown key')
      subkey = derive(key, mark.subarray(FINGERPRINT_LENGTH, FINGERPRINT_LENGTH + SALT_LENGTH))
      if (this.#subkeys.size >= REMEMBERED) this.#subkeys.delete(this.#subkeys.keys().next().value as string)
      this.#subkeys.set(name, subkey)
    }
    return { mark, subkey }
  }
}

/**
 * Seals a part into `target`: as many bytes, then the tag.
 * @param bound what the part can only be opened together with
 */
export function sealPart ({ mark, subkey }: Seal, part: Part, bytes: Buffer, bound: Buffer, target: Buffer): MaybePromise<void> {
  const cipher = createCipheriv(ALGORITHM, subkey, nonceOf(mark, part), { authTagLength: TAG_LENGTH })
  cipher.setAAD(bound)
  const end = (): void => {
    cipher.final()
    cipher.getAuthTag().copy(target, bytes.length)
  }
  if (bytes.length <= SLICE) {
    cipher.update(bytes).copy(target)
    return end()
  }
  return inSlices(bytes, (slice, at) => { cipher.update(slice).copy(target, at) }).then(end)
}

/** @throws UnreadableError unless it is what was sealed, bound to the same */
export function openPart (seal: Seal, part: Part, sealed: Buffer, bound: Buffer): Buffer {
  const decipher = decipherFor(seal, part, sealed, bound)
  return finished(decipher, decipher.update(sealed.subarray(0, -TAG_LENGTH)))
}

/** The same, without holding the event loop when it is long. */
export function openLargePart (seal: Seal, part: Part, sealed: Buffer, bound: Buffer): MaybePromise<Buffer> {
  if (sealed.length <= SLICE) return openPart(seal, part, sealed, bound)
  const decipher = decipherFor(seal, part, sealed, bound)
  const bytes = Buffer.allocUnsafeSlow(sealed.length - TAG_LENGTH)
  return inSlices(sealed.subarray(0, -TAG_LENGTH), (slice, at) => { decipher.update(slice).copy(bytes, at) }).then(() => finished(decipher, bytes))
}

function decipherFor ({ mark, subkey }: Seal, part: Part, sealed: Buffer, bound: Buffer): DecipherGCM {
  if (sealed.length < TAG_LENGTH) throw new UnreadableError('damaged')
  const decipher = createDecipheriv(ALGORITHM, subkey, nonceOf(mark, part), { authTagLength: TAG_LENGTH })
  decipher.setAAD(bound)
  decipher.setAuthTag(sealed.subarray(-TAG_LENGTH))
  return decipher
}

function finished (decipher: DecipherGCM, bytes: Buffer): Buffer {
  try {
    decipher.final()
    return bytes
  } catch {
    throw new UnreadableError('tampered with')
  }
}

async function inSlices (bytes: Buffer, work: (slice: Buffer, at: number) => void): Promise<void> {
  for (let at = 0; at < bytes.length; at += SLICE) {
    work(bytes.subarray(at, at + SLICE), at)
    await nextTurn()
  }
}

function derive ({ key }: RingKey, salt: Buffer): KeyObject {
  return createSecretKey(Buffer.from(hkdfSync('sha256', key, salt, 'larder: records of a cache, AES-256-GCM', 32)))
}

/** The message's number and the part: 96 bits. */
function nonceOf (mark: Buffer, part: Part): Buffer {
  const nonce = Buffer.alloc(12)
  mark.copy(nonce, 0, FINGERPRINT_LENGTH + SALT_LENGTH)
  nonce[11] = part
  return nonce
}
