import t, { type Test } from 'tap'
import fc from 'fast-check'
import { MOST_SHAPES, Shapes } from '../../../services/cache/shapes.js'

/** Past the copies after which a copier is compiled. */
const OFTEN = 120

const json = (text: string): unknown => JSON.parse(text)

const shares = (a: unknown, b: unknown): boolean => typeof a === 'object' && a !== null &&
  (a === b || Object.entries(a).some(([name, member]) => shares(member, (b as Record<string, unknown>)[name])))

async function copies (text: string): Promise<{ value: unknown, first: unknown, last: unknown }> {
  const shapes = new Shapes()
  const value = json(text)
  const number = shapes.hold(value)
  const first = await shapes.at(number).copy(value)
  let last = first
  for (let times = 0; times < OFTEN; times++) last = await shapes.at(number).copy(value)
  return { value, first, last }
}

async function checkCopies (t: Test, text: string): Promise<void> {
  const { value, first, last } = await copies(text)
  for (const copy of [first, last]) {
    t.equal(JSON.stringify(copy), JSON.stringify(value))
    t.notOk(shares(copy, value), `${text} is copied to its ends`)
    if (typeof copy === 'object' && copy !== null) t.equal(Object.getPrototypeOf(copy), Object.getPrototypeOf(value))
  }
}

t.test('a compiled copy is equal and shares nothing that can be changed', async () => {
  await fc.assert(fc.asyncProperty(fc.json(), async (text) => {
    const { value, first, last } = await copies(text)
    return [first, last].every((copy) => JSON.stringify(copy) === JSON.stringify(value) && !shares(copy, value))
  }), { numRuns: 100 })
  const names = fc.constantFrom('id', 'get', 'async', 'class', 'constructor', '__proto__', 'then', 'a b', 'x"y', '0', 'a', '\u2028', '`')
  const member = fc.letrec((tie) => ({
    value: fc.oneof({ maxDepth: 5 }, fc.integer(), fc.string(), fc.constant(null), fc.boolean(), tie('list'), tie('object')),
    list: fc.array(tie('value'), { maxLength: 4 }),
    object: fc.dictionary(names, tie('value'), { maxKeys: 6, noNullPrototype: true })
  })).value
  await fc.assert(fc.asyncProperty(member, async (given) => {
    const { value, last } = await copies(JSON.stringify(given))
    return JSON.stringify(last) === JSON.stringify(value) && !shares(last, value)
  }), { numRuns: 200 })
})

t.test('whatever its members are called and however it is nested', async (t) => {
  for (const text of [
    '{"__proto__":{"admin":true},"a":1}', '{"a":{"__proto__":[1]}}', '{"constructor":1,"then":2,"get":3,"class":4}', '{"then":{"then":[1]}}',
    '{"a\\"]:alert(1)//":1}', '{"2":1,"1":2}', '[{"a":1,"b":2},{"a":3,"b":4}]', '[{"a":1,"b":2},{"b":3,"a":4}]', '[{"a":1},{"a":{"c":[]}}]', '[[1],[2]]',
    '{"items":[{"id":1},{"id":2}],"tags":["x"],"none":[],"deep":{"a":{"b":{"c":{"d":{"e":[1]}}}}}}', '{}', '[]', '"x"', '1.5', 'null', 'false'
  ]) await checkCopies(t, text)
  await checkCopies(t, JSON.stringify(Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`m${at}`, [at]]))))
  const proto = await copies('{"__proto__":{"admin":true},"a":1}')
  t.equal((proto.last as { admin?: boolean }).admin, undefined)
})

t.test('values of one shape share a number, which is free for others when none of them is held', async (t) => {
  const shapes = new Shapes()
  const number = shapes.hold({ a: 1, b: 'x' })
  t.equal(shapes.hold({ a: 2, b: null }), number)
  t.not(shapes.hold({ b: 1, a: 'x' }), number, 'the order counts')
  t.not(shapes.hold({ a: [], b: 'x' }), number)
  shapes.release(number)
  t.equal(shapes.hold({ a: 3, b: 3 }), number)
  shapes.release(number)
  shapes.release(number)
  t.equal(shapes.hold({ other: 1 }), number)
})

t.test('of more shapes than are kept, the values are copied as any are', async (t) => {
  const shapes = new Shapes()
  const numbers = new Set<number>()
  for (let at = 0; at < 2 * MOST_SHAPES; at++) {
    const value = { [`m${at}`]: [at] }
    const number = shapes.hold(value)
    numbers.add(number)
    const copy = await shapes.at(number).copy(value)
    if (JSON.stringify(copy) !== JSON.stringify(value) || shares(copy, value)) t.fail(JSON.stringify(copy))
  }
  t.equal(numbers.size, MOST_SHAPES)
})
