import t from 'tap'
import fc from 'fast-check'
import { copyOf, deepFreeze, isFlat, weightOf } from '../../../services/cache/copy.js'
import { DECODED_BYTES, DECODED_SHARE, DecodedValues, type SlotMarks } from '../../../services/cache/decoded.js'
import { encode } from '../../../services/cache/encoding.js'
import { localCache } from './setup.js'

const json = (text: string): unknown => JSON.parse(text)

/** Slots by themselves, whose reads are counted when they are told. */
class Marks implements SlotMarks {
  readonly decoded = new Set<number>()
  #reads = new Map<number, number>()

  isDecoded (slot: number): boolean { return this.decoded.has(slot) }
  accessCount (slot: number): number { return this.#reads.get(slot) ?? 0 }
  read (slot: number): void { this.#reads.set(slot, this.accessCount(slot) + 1) }

  setDecoded (slot: number, isDecoded: boolean): void {
    if (isDecoded) this.decoded.add(slot)
    else this.decoded.delete(slot)
  }
}

t.test('a copy is equal and shares nothing that can be changed', async (t) => {
  const shares = (a: unknown, b: unknown): boolean => typeof a === 'object' && a !== null &&
    (a === b || Object.entries(a).some(([name, member]) => shares(member, (b as Record<string, unknown>)[name])))
  fc.assert(fc.property(fc.json(), (text) => {
    const value = json(text)
    const copy = copyOf(value)
    return JSON.stringify(copy) === JSON.stringify(value) && !shares(copy, value)
  }), { numRuns: 300 })
  t.pass('of any JSON')
})

t.test('a member named __proto__ is copied as the member that it is', async (t) => {
  const value = json('{"__proto__":{"admin":true},"a":{"__proto__":[1]}}')
  const copy = copyOf(value) as { admin?: boolean, a: object }
  t.equal(JSON.stringify(copy), JSON.stringify(value))
  t.equal(copy.admin, undefined)
  t.equal(Object.getPrototypeOf(copy), Object.prototype)
  t.equal(Object.getPrototypeOf(copy.a), Object.prototype)
})

t.test('flat, frozen, weighed', async (t) => {
  t.ok([1, 'x', null, {}, [], { a: 1 }, [null]].every(isFlat))
  t.notOk([{ a: {} }, [[]], { a: null, b: [] }].some(isFlat))
  const frozen = deepFreeze(json('{"a":[{"b":1}]}')) as { a: [{ b: number }] }
  for (const part of [frozen, frozen.a, frozen.a[0]]) t.ok(Object.isFrozen(part))
  t.ok(weightOf({ a: 'x'.repeat(1000) }) > 1000)
  t.equal(weightOf(json('['.repeat(100) + ']'.repeat(100))), Infinity, 'what is too deep has no weight that fits')
})

t.test('a value takes its place when it is asked for again', async (t) => {
  const decoded = new DecodedValues(2 ** 30, new Marks())
  const text = encode({ n: 1, list: [1] })
  t.equal(decoded.copy(7), undefined)
  t.same(await decoded.decode(7, text), { n: 1, list: [1] })
  t.equal(decoded.bytes, 0, 'asked for once')
  t.same(await decoded.decode(7, text), { n: 1, list: [1] })
  t.ok(decoded.bytes > 0)
  const copy = await decoded.copy(7) as { list: number[] }
  copy.list.push(2)
  t.same(await decoded.copy(7), { n: 1, list: [1] })
  t.equal(decoded.copy(7 + 16_384), undefined, 'another slot of the same place')
  decoded.drop(7)
  t.equal(decoded.copy(7), undefined)
  t.equal(decoded.bytes, 0)
  for (const plain of [null, 0, '', false, [], {}, [[1]]]) {
    for (let times = 0; times < 2; times++) void decoded.decode(8, encode(plain))
    t.strictSame(await decoded.copy(8), plain)
    decoded.drop(8)
  }
})

t.test('who was used keeps its place for one more try of another', async (t) => {
  const marks = new Marks()
  const decoded = new DecodedValues(2 ** 30, marks)
  const ask = (slot: number): Promise<unknown> => {
    marks.read(slot)
    return decoded.copy(slot) ?? decoded.decode(slot, encode(slot))
  }
  for (let times = 0; times < 3; times++) void ask(1)
  for (let times = 0; times < 2; times++) void ask(16_385)
  t.equal(decoded.copy(16_385), undefined)
  void ask(16_385)
  t.equal(await decoded.copy(16_385), 16_385)
  t.equal(decoded.copy(1), undefined)
  t.strictSame([...marks.decoded], [16_385])
})

t.test('their bytes stay within their bound', async (t) => {
  const maxMemory = 2 ** 20
  const decoded = new DecodedValues(maxMemory, new Marks())
  const text = encode({ text: 'x'.repeat(100) })
  for (let slot = 0; slot < 5000; slot++) {
    for (let times = 0; times < 2; times++) void decoded.decode(slot, text)
    if (slot % 3 === 0) void decoded.share(slot, text)
    if (decoded.bytes > maxMemory * DECODED_SHARE) t.fail(`${decoded.bytes} bytes`)
  }
  t.ok(decoded.bytes > maxMemory * DECODED_SHARE / 2, 'and are made use of')
  decoded.configure(1000)
  t.ok(decoded.bytes <= 1000 * DECODED_SHARE)
  for (let times = 0; times < 2; times++) t.same(await decoded.decode(1, text), { text: 'x'.repeat(100) })
  t.equal(decoded.copy(1), undefined, 'too large for a place')
  t.ok(DECODED_BYTES >= maxMemory * DECODED_SHARE)
})

t.test('what nobody can change is not copied, and its place is free for others afterwards', async (t) => {
  const decoded = new DecodedValues(2 ** 20, new Marks())
  for (const value of [7, 'text', null, false]) {
    const text = JSON.stringify(value)
    for (let times = 0; times < 2; times++) t.equal(await decoded.decode(1, text), value)
    t.equal(await decoded.copy(1), value)
    t.equal(decoded.copy(1), decoded.copy(1), 'one promise for all')
    decoded.drop(1)
    t.equal(decoded.copy(1), undefined)
  }
  t.equal(decoded.bytes, 0)
  for (let times = 0; times < 2; times++) await decoded.decode(1, '[1]')
  t.not(await decoded.copy(1), await decoded.copy(1))
})

t.test('callers of a cache', async (t) => {
  t.test('get copies of their own, and an entry that goes takes its decoded form along', async (t) => {
    const { cache } = localCache(t)
    const load = (): { list: number[] } => ({ list: [1] })
    const read = async (): Promise<{ list: number[] }> => await cache.getOrSet('k', load)
    for (let times = 0; times < 200; times++) (await read()).list.push(2)
    t.same(await read(), { list: [1] })
    await cache.set('app', 'k', { value: '{"list":[7]}', dataType: 'json' })
    for (let times = 0; times < 5; times++) t.same(await read(), { list: [7] })
    await cache.forget('k')
    t.same(await read(), { list: [1] })
    await cache.getOrSet('null', () => null)
    for (let times = 0; times < 5; times++) t.equal(await cache.getOrSet<unknown>('null', load), null)
  })

  t.test('get one frozen object when they share', async (t) => {
    const { cache } = localCache(t)
    const options = { shared: true }
    const first = await cache.getOrSet('k', () => ({ list: [1] }), options)
    t.ok(Object.isFrozen(first) && Object.isFrozen(first.list))
    const [a, b] = [await cache.getOrSet('k', () => ({ list: [2] }), options), await cache.getOrSet('k', () => ({ list: [2] }), options)]
    t.equal(a, b)
    t.same(a, { list: [1] })
    t.throws(() => { a.list.push(2) }, TypeError)
    const own = await cache.getOrSet('k', () => ({ list: [2] }))
    own.list.push(3)
    t.same(await cache.getOrSet('k', () => ({ list: [2] }), options), { list: [1] })
    await cache.set('app', 'k', { value: '{"list":[7]}', dataType: 'json' })
    t.same(await cache.getOrSet('k', () => ({ list: [2] }), options), { list: [7] })
    const large = 'x'.repeat(2 ** 19)
    await cache.getOrSet('large', () => [large])
    for (let times = 0; times < 3; times++) t.same(await cache.getOrSet('large', () => [''], options), [large])
  })
})
