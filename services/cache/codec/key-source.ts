import { createSecretKey, type KeyObject, scrypt } from 'node:crypto'

/** What a key is given as: shown to nobody, whoever prints or serialises what holds it. */
export class KeySource {
  /** Its name, for people. */
  readonly id: string | undefined
  #secret: Buffer | string

  /** @param secret the 32 bytes of a key, or a passphrase */
  constructor (id: string | undefined, secret: Buffer | string) {
    this.id = id
    this.#secret = secret
  }

  /**
   * The key. A passphrase is stretched by scrypt (RFC 7914) at 128 MiB and some 0.3 s a guess. All processes have to arrive at the
   * same key with nothing to share but the passphrase, so the salt is always the same: a passphrase has to be good by itself.
   */
  async key (): Promise<KeyObject> {
    const secret = this.#secret
    if (typeof secret !== 'string') return createSecretKey(secret)
    return await new Promise((resolve, reject) => {
      scrypt(secret.normalize('NFC'), SALT, KEY_LENGTH, { N: 2 ** 17, r: 8, p: 1, maxmem: 2 ** 28 }, (error, key) => {
        if (error === null) resolve(createSecretKey(key))
        else reject(error)
      })
    })
  }
}

/** A key that is not one, or a weak one. The message says why, in words that follow the name of whatever held it. */
export class KeyTextError extends Error {}

const KEY_LENGTH = 32
const SALT = 'larder: key of the cache, from a passphrase'
/** Of 32 random bytes some thirty differ from each other. */
const DISTINCT_BYTES = 16
const PASSPHRASE_LENGTH = 20
const DISTINCT_CHARACTERS = 10
const PLACEHOLDER = /change.?me|change.?this|your.*(key|secret|pass)|example|placeholder/i
const NAMED = /^(?<id>[A-Za-z0-9][\w.-]{0,31}):(?<secret>.*)$/s
const MAKE_ONE = 'make one with: openssl rand -base64 32'

/**
 * One key, or several with names (`2026:…,2025:…`), of which the first writes and all read. Each is 32 bytes in base64 or hex, or a
 * passphrase.
 * @throws KeyTextError
 */
export function parseKeys (text: string): KeySource[] {
  const parts = text.split(',').map((part) => part.trim())
  const ids = new Set<string>()
  const secrets = new Set<string>()
  return parts.map((part) => {
    const { id, secret } = NAMED.exec(part)?.groups as { id: string, secret: string } | undefined ?? { id: undefined, secret: part }
    if (parts.length > 1 && id === undefined) {
      throw new KeyTextError('has several keys, which need names: write them as 2026:…,2025:… (a passphrase has neither comma nor colon)')
    }
    if (id !== undefined && ids.has(id)) throw new KeyTextError(`has two keys named ${id}: give each a name of its own`)
    if (id !== undefined) ids.add(id)
    const found = secretIn(secret.trim())
    if (secrets.has(found.toString('hex'))) throw new KeyTextError('has the same key twice: leave one out')
    secrets.add(found.toString('hex'))
    return new KeySource(id, found)
  })
}

function secretIn (text: string): Buffer | string {
  const bytes = /^[0-9a-f]{64}$/i.test(text) ? Buffer.from(text, 'hex') : /^[\w+/-]{43}=?$/.test(text) ? Buffer.from(text, 'base64') : undefined
  if (bytes !== undefined) {
    if (new Set(bytes).size < DISTINCT_BYTES) throw new KeyTextError(`holds a key that is not random: ${MAKE_ONE}`)
    return bytes
  }
  if (/^([0-9a-f]{2}){8,}$/i.test(text) || /^[\w+/-]{8,}={1,2}$/.test(text)) {
    throw new KeyTextError(`holds a key of another length than ${KEY_LENGTH} bytes: ${MAKE_ONE}`)
  }
  if (text.includes(':')) throw new KeyTextError('holds a passphrase with a colon, which ends a name: leave it out, and commas too')
  if (text.length < PASSPHRASE_LENGTH || new Set(text).size < DISTINCT_CHARACTERS || PLACEHOLDER.test(text)) {
    throw new KeyTextError(`holds a passphrase that can be guessed (it needs ${PASSPHRASE_LENGTH} characters, ${DISTINCT_CHARACTERS} different ones): ${MAKE_ONE}`)
  }
  return text
}
