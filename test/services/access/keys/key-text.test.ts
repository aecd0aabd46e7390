import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import t from 'tap'
import { digestOf, makeKey, parseKey } from '../../../../services/access/keys/key-text.js'

const DIGITS = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

t.test('a key is read back, and no two are the same', async (t) => {
  const keys = Array.from({ length: 500 }, makeKey)
  t.equal(new Set(keys.flatMap(({ id, text }) => [id, text])).size, 1000)
  for (const { id, text, digest } of keys) {
    const key = parseKey(text)
    t.equal(key?.id, id)
    t.match(text, /^larder_[0-9A-Za-z]{13}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}$/)
    t.ok(digestOf(id, key!.secret).equals(digest))
    t.equal(digest.toString('hex'), createHash('sha256').update(`${key!.secret}_${id}`).digest('hex'))
  }
})

t.test('the secret is spread over all its values, the checksum is CRC-32 of what stands before it', async (t) => {
  const keys = Array.from({ length: 500 }, () => makeKey().text)
  for (let at = 'larder_'.length + 15; at < 'larder_'.length + 14 + 43; at++) t.ok(new Set(keys.map((text) => text[at])).size > 40, `digit ${at} varies`)
  for (const text of keys) {
    const body = text.slice(0, -7)
    const sum = [...text.slice(-6)].reduce((sum, digit) => sum * 62 + DIGITS.indexOf(digit), 0)
    t.equal(sum, crc32(body))
  }
})

t.test('whatever differs in one place is no key', async (t) => {
  const { text } = makeKey()
  for (let at = 0; at < text.length; at++) {
    const other = text[at] === 'x' ? 'y' : 'x'
    t.equal(parseKey(text.slice(0, at) + other + text.slice(at + 1)), undefined, `at ${at}`)
    t.equal(parseKey(text.slice(0, at) + text.slice(at + 1)), undefined, `without ${at}`)
  }
  for (const near of ['', 'larder_', `${text}\n`, ` ${text}`, text.toUpperCase(), text.replaceAll('_', '-'), `${text}${text}`, 'é'.repeat(70)]) t.equal(parseKey(near), undefined)
})
