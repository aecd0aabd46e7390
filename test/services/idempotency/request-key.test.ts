import fc from 'fast-check'
import t from 'tap'
import { digestOf, idempotencyKey } from '../../../services/idempotency/request-key.js'

t.test('a key is a structured-field string, or what is in one', async (t) => {
  const uuid = '8e03978e-40d5-43dd-bc93-6894a57f9324'
  t.equal(idempotencyKey(`"${uuid}"`), uuid)
  t.equal(idempotencyKey(uuid), uuid)
  t.equal(idempotencyKey('"a \\"b\\" \\\\ c"'), 'a "b" \\ c')
  t.equal(idempotencyKey(' "x" '), 'x')
  for (const bad of ['', '""', '"', 'a b', '"a', 'a"', '"a"b', '"a";q=1', '"a", "b"', 'a,b', '"\\a"', '"\u00e9"', '"\t"', `"${'x'.repeat(256)}"`, 'x'.repeat(256)]) {
    t.throws(() => idempotencyKey(bad), { code: 'ERR_MALFORMED_REQUEST', statusCode: 400 }, JSON.stringify(bad))
  }
})

t.test('every string of printable ASCII is a key', async () => {
  const text = fc.string({ unit: fc.integer({ min: 0x20, max: 0x7e }).map((code) => String.fromCharCode(code)), minLength: 1, maxLength: 255 })
  fc.assert(fc.property(text, (key) => idempotencyKey(`"${key.replace(/["\\]/g, '\\$&')}"`) === key))
})

t.test('a digest goes by the value, not by how it is written', async (t) => {
  fc.assert(fc.property(fc.jsonValue(), (value) => digestOf(turned(value)).equals(digestOf(value))))
  fc.assert(fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) =>
    digestOf(a).equals(digestOf(b)) === (JSON.stringify(sorted(a)) === JSON.stringify(sorted(b)))))
  const different = [undefined, null, 'null', 0, '0', Infinity, [], {}, [null], [[]], { a: 1 }, { a: '1' }, ['a', 1], '', 'undefined']
  t.equal(new Set(different.map((value) => digestOf(value).toString('hex'))).size, different.length)
  t.notSame(digestOf('a', 'b'), digestOf('ab', ''))
})

/** The same with the members of objects the other way round. */
function turned (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(turned)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).reverse().map(([name, member]) => [name, turned(member)]))
}

function sorted (value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (typeof value !== 'object' || value === null) return value
  // An object without members is no empty list.
  return { members: Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([name, member]) => [name, sorted(member)]) }
}
