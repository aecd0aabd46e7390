import { createHash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'

/** What every key begins with, so that one that got lost is recognised by who finds it, scanners of sources included. */
export const KEY_PREFIX = 'larder_'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'
const SECRET_BYTES = 32
/** Digits of base 62 that hold as much: 32 bytes, the 9 bytes of an id, and a CRC-32. */
const [SECRET_LENGTH, ID_LENGTH, CHECKSUM_LENGTH] = [43, 13, 6]
const KEY = new RegExp(`^${KEY_PREFIX}([0-9A-Za-z]{${ID_LENGTH}})_([0-9A-Za-z]{${SECRET_LENGTH}})_([0-9A-Za-z]{${CHECKSUM_LENGTH}})$`)

/** A key as it is shown once: `larder_<id>_<secret>_<checksum>`. */
export interface NewKey {
  readonly id: string
  readonly text: string
  /** What is stored of it. */
  readonly digest: Buffer
}

/** Makes a key of 256 random bits. */
export function makeKey (): NewKey {
  const id = base62(randomBytes(9), ID_LENGTH)
  const secret = base62(randomBytes(SECRET_BYTES), SECRET_LENGTH)
  const body = `${KEY_PREFIX}${id}_${secret}`
  return { id, text: `${body}_${checksum(body)}`, digest: digestOf(id, secret) }
}

/** The parts of a text that is a key by its form and checksum; undefined for any other, which then needs no lookup. */
export function parseKey (text: string): { id: string, secret: string } | undefined {
  const [, id, secret, sum] = KEY.exec(text) ?? []
  if (id === undefined || secret === undefined || sum !== checksum(`${KEY_PREFIX}${id}_${secret}`)) return undefined
  return { id, secret }
}

/** SHA-256 over secret and id: nobody gains by a slow hash where the secret is random, and a row that changes its id is void. */
export function digestOf (id: string, secret: string): Buffer {
  return createHash('sha256').update(`${secret}_${id}`).digest()
}

function checksum (text: string): string {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32(text))
  return base62(bytes, CHECKSUM_LENGTH)
}

function base62 (bytes: Buffer, length: number): string {
  let rest = BigInt(`0x${bytes.toString('hex')}`)
  let text = ''
  for (; rest > 0n; rest /= 62n) text = DIGITS[Number(rest % 62n)]! + text
  return text.padStart(length, DIGITS[0])
}
