import * as crypto from 'node:crypto'
import type { Hash } from 'node:crypto'
import t from 'tap'
import type * as Administrator from '../../../../services/access/administrator.js'
import type { CredentialStore } from '../../../../services/access/credential-store.js'
import type * as Held from '../../../../services/access/keys/held-keys.js'
import { makeKey, parseKey } from '../../../../services/access/keys/key-text.js'
import type { Queryable } from '../../../../services/database.js'

/** What was computed of credentials since it was last looked at: hashes, with the bytes that went in, and comparisons. */
const steps: string[] = []
const watched = {
  ...crypto,
  createHash (algorithm: string): Hash {
    const hash = crypto.createHash(algorithm)
    const update = hash.update.bind(hash)
    const watch = (data: string): Hash => {
      steps.push(`${algorithm} of ${data.length}`)
      return update(data)
    }
    return Object.assign(hash, { update: watch })
  },
  timingSafeEqual (a: Buffer, b: Buffer): boolean {
    steps.push(`compare ${a.length} with ${b.length}`)
    return crypto.timingSafeEqual(a, b)
  }
}

const taken = (attempt: () => unknown): { steps: string[], error: { message: string, headers?: object } | undefined } => {
  steps.length = 0
  try {
    attempt()
    return { steps: [...steps], error: undefined }
  } catch (error) {
    const { message, headers } = error as { message: string, headers: object }
    return { steps: [...steps], error: { message, headers } }
  }
}

t.test('a key that there is not takes the steps of one with a wrong secret, and of the right one', async (t) => {
  const { HeldKeys } = await t.mockImport<typeof Held>('../../../../services/access/keys/held-keys.js', { 'node:crypto': watched })
  const right = makeKey()
  const row = {
    id: right.id, secret_hash: right.digest.toString('hex'), scopes: ['cache:read'], forbid: [], namespaces: null, rate_limit: null, expires_at: null, revoked_at: null
  }
  const database = { query: async () => ({ rows: [row], rowCount: 1 }) } as unknown as Queryable
  const held = new HeldKeys({ credentials: { isCurrent: true, epoch: 1 } as unknown as CredentialStore, uses: { note: () => {} }, log: { warn: () => {} } })
  ;(await held.load(database, 0))()
  t.equal(held.size, 1)

  const unknown = makeKey()
  let other = makeKey()
  // The id that there is, with the secret of another key: well-formed, with the right checksum.
  const wrong = withIdOf(right.text, other.text)
  t.strictSame(parseKey(wrong), { id: right.id, secret: parseKey(other.text)!.secret })
  const [ofRight, ofWrong, ofUnknown] = [right.text, wrong, unknown.text].map((text) => taken(() => held.authenticate(text))) as [ReturnType<typeof taken>, ReturnType<typeof taken>, ReturnType<typeof taken>]
  t.equal(ofRight.error, undefined)
  t.ok(ofWrong.error)
  t.strictSame(ofUnknown.error, ofWrong.error, 'and they are told the same')
  t.ok(ofWrong.steps.includes('compare 32 with 32'), 'whole digests are compared')
  t.strictSame(ofUnknown.steps, ofWrong.steps)
  t.strictSame(ofRight.steps, ofWrong.steps)
  // However much of the digest agrees: the comparison is one, of all of it.
  for (let i = 0; i < 20; i++, other = makeKey()) t.strictSame(taken(() => held.authenticate(withIdOf(right.text, other.text))).steps, ofWrong.steps)
})

t.test('the administrator’s key is compared by digests of one length, whatever is tried', async (t) => {
  const { AdministratorKey } = await t.mockImport<typeof Administrator>('../../../../services/access/administrator.js', { 'node:crypto': watched })
  const key = new AdministratorKey('the-administrators-own-key')
  for (const text of ['the-administrators-own-key', 'the-administrators-own-keY', 'x', '', 'y'.repeat(5000)]) {
    t.strictSame(taken(() => key.recognises(text)).steps, [`sha256 of ${text.length}`, 'compare 32 with 32'])
  }
})

/** A key with the id of one and the secret of the other, and the checksum that belongs to them. */
function withIdOf (one: string, other: string): string {
  const { id } = parseKey(one)!
  const { secret } = parseKey(other)!
  const body = `larder_${id}_${secret}`
  return `${body}_${checksumOf(body)}`
}

/** CRC-32 in six digits of base 62, made apart from the code that is tested. */
function checksumOf (text: string): string {
  let crc = -1
  for (const byte of Buffer.from(text)) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0xedb88320 & -(crc & 1))
  }
  let rest = ~crc >>> 0
  let digits = ''
  for (let i = 0; i < 6; i++, rest = Math.floor(rest / 62)) digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'[rest % 62]! + digits
  return digits
}
