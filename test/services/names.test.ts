import t from 'tap'
import { checkKey, checkPattern, checkTags } from '../../services/names.js'

const REFUSED = { code: 'ERR_INVALID_INPUT', statusCode: 400 }

t.test('a key has 1 to maxLength bytes, counted in UTF-8', async (t) => {
  for (const key of ['a', 'a'.repeat(250), 'é'.repeat(125), '\u{1F600}'.repeat(62), '漢'.repeat(83)]) {
    t.doesNotThrow(() => checkKey(key, 250), `${key.length} units`)
  }
  for (const key of ['', 'a'.repeat(251), 'é'.repeat(126), '\u{1F600}'.repeat(63), '漢'.repeat(84)]) {
    t.throws(() => checkKey(key, 250), { ...REFUSED, message: /^key must not be / }, `${key.length} units`)
  }
})

t.test('a key has no control characters and no halves of surrogate pairs', async (t) => {
  const refused: number[] = []
  for (let code = 0; code < 0x10000; code++) {
    try {
      checkKey(`a${String.fromCharCode(code)}b`, 250)
    } catch {
      refused.push(code)
    }
  }
  const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, index) => from + index)
  t.strictSame(refused, [...range(0, 0x1f), ...range(0x7f, 0x9f), ...range(0xd800, 0xdfff)])
})

t.test('tags are strings, few and short; each counts once', async (t) => {
  t.strictSame(checkTags(['user', 'profile', 'user'], 'tags'), ['user', 'profile'])
  t.strictSame(checkTags([], 'tags'), [])
  t.strictSame(checkTags(['__proto__', 'constructor', 'a'.repeat(250)], 'tags'), ['__proto__', 'constructor', 'a'.repeat(250)])
  t.equal(checkTags(Array.from({ length: 64 }, (_, index) => `t${index}`), 'tags').length, 64)
  const many = Array.from({ length: 65 }, (_, index) => `t${index}`)
  for (const tags of [null, 'user', {}, { length: 1, 0: 'a' }, [''], [1], [null], [['a']], ['a'.repeat(251)], ['é'.repeat(126)], ['a\nb'], ['\u0000'], ['\ud800'], many]) {
    t.throws(() => checkTags(tags, 'metadata.tags'), { ...REFUSED, message: /^metadata\.tags must be / }, JSON.stringify(tags)?.slice(0, 40))
  }
})

t.test('a pattern has 1 to 250 bytes', async (t) => {
  for (const pattern of ['*', 'a'.repeat(250), 'é'.repeat(125)]) t.doesNotThrow(() => checkPattern(pattern))
  for (const pattern of ['', 'a'.repeat(251), 'é'.repeat(126)]) t.throws(() => checkPattern(pattern), { ...REFUSED, message: /^pattern must be / })
})
