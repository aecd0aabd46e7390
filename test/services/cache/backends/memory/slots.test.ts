import fc from 'fast-check'
import t from 'tap'
import { KeyIndex } from '../../../../../services/cache/backends/memory/key-index.js'
import { inSlices, sortedInSlices } from '../../../../../services/cache/slices.js'
import { NOT_USED, POLICY_WORDS, Slots } from '../../../../../services/cache/backends/memory/slots.js'
import { DATA_TYPES, NO_TAGS, STRATEGIES } from '../../../../../services/cache/entry.js'
import { chunkOf, placeOf } from '../../../../../services/cache/rows.js'

t.test('every fact of an entry comes back, and none touches another', async () => {
  const time = fc.integer({ min: 0, max: 2 ** 48 - 2 })
  const facts = fc.record({
    value: fc.oneof(fc.string(), fc.uint8Array().map((bytes) => Buffer.from(bytes))),
    dataType: fc.constantFrom(...DATA_TYPES),
    tags: fc.oneof(fc.constant(NO_TAGS), fc.array(fc.string(), { minLength: 1, maxLength: 3 })),
    metadata: fc.option(fc.string(), { nil: undefined }),
    strategy: fc.constantFrom(...STRATEGIES),
    createdAt: time,
    accessedAt: time,
    accessCount: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    expiresAt: fc.oneof(time, fc.constant(Infinity)),
    grace: fc.nat(1e9),
    version: fc.maxSafeInteger().map(Math.abs),
    stamp: fc.integer({ min: 0, max: 2 ** 48 - 1 })
  })
  fc.assert(fc.property(fc.array(facts, { minLength: 2, maxLength: 40 }), (entries) => {
    const slots = new Slots(() => {})
    const written = entries.map(({ grace, ...entry }, at) => {
      const slot = slots.take(`k${at}`, at * 0x9e3779b1 | 0, 3)
      const stored = { ...entry, namespace: 'n', key: `k${at}`, goneAt: entry.expiresAt + grace }
      slots.setInOwnPool(slot, at % 2 === 0)
      slots.write(slot, stored, 2 ** 32 - 1 - at)
      slots.setDecoded(slot, at % 3 === 0)
      return { slot, stored, at }
    })
    for (const { slot, stored: { version, stamp, ...stored }, at } of written) {
      const { version: _, ...entry } = slots.entry(slot, 'n')
      t.strictSame(entry, { ...stored, size: 2 ** 32 - 1 - at })
      t.strictSame([slots.version(slot), slots.stamp(slot), slots.isInOwnPool(slot), slots.checked(slot)], [version, stamp, at % 2 === 0, 0])
      t.equal(slots.isDecoded(slot), at % 3 === 0)
      slots.write(slot, { ...stored, version, stamp }, 1)
      t.strictSame([slots.isDecoded(slot), slots.isInOwnPool(slot)], [false, at % 2 === 0], 'what is written over is not decoded')
    }
  }), { numRuns: 50 })
})

t.test('a slot is given out once until it is released, and the index finds what is there, and nothing else', async (t) => {
  const slots = new Slots(() => {})
  const index = new KeyIndex(slots)
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(60), fc.nat(1), fc.boolean()), { maxLength: 400, size: 'max' }), (steps) => {
    const held = new Map<string, number>()
    let most = 0
    for (const [key, space, adds] of steps) {
      const name = `${space} ${key}`
      // Few hashes, so that chains are long.
      const hash = key % 7
      const slot = index.find(space, `k${key}`, hash)
      if (slot !== (held.get(name) ?? -1)) throw new Error(`${name} is at ${slot}`)
      if (adds && slot === -1) {
        const taken = slots.take(`k${key}`, hash, space)
        if ([...held.values()].includes(taken)) throw new Error(`slot ${taken} was given out twice`)
        slots.write(taken, { ...ENTRY, key: `k${key}` }, 1)
        index.add(taken)
        held.set(name, taken)
      } else if (!adds && slot !== -1) {
        index.remove(slot)
        slots.release(slot)
        held.delete(name)
      }
      most = Math.max(most, held.size)
    }
    for (const slot of held.values()) {
      index.remove(slot)
      slots.release(slot)
    }
  }), { numRuns: 100 })
  t.ok(slots.high <= 122, `no more slots than there ever were entries at a time: ${slots.high}`)
})

t.test('the index and the slots grow without moving what is there', async (t) => {
  const grown: number[] = []
  const slots = new Slots((capacity) => { grown.push(capacity) })
  const index = new KeyIndex(slots)
  const hashOf = (at: number): number => Math.imul(at, 0x9e3779b1)
  for (let at = 0; at < 5000; at++) {
    const slot = slots.take(`k${at}`, hashOf(at), 0)
    t.equal(slot, at)
    slots.write(slot, { ...ENTRY, key: `k${at}` }, 1)
    index.add(slot)
  }
  t.strictSame(grown.slice(0, 8), [16, 32, 64, 128, 256, 512, 1024, 2048], 'a chunk at a time, once there is one')
  t.equal(grown.at(-1), 5120)
  for (let at = 0; at < 5000; at++) if (index.find(0, `k${at}`, hashOf(at)) !== at) t.fail(`k${at} is lost`)
  t.strictSame([index.find(0, 'k5000', hashOf(5000)), index.find(1, 'k1', hashOf(1))], [-1, -1])
  t.strictSame([chunkOf(2047), placeOf(2047)], [1, 1023])
  t.equal(slots.rows.get(7, POLICY_WORDS.hash), hashOf(7))
})

t.test('revisions that are further apart than a row can tell begin anew: what was checked is checked once more', async (t) => {
  const slots = new Slots(() => {})
  const [old, young] = [slots.take('old', 1, 0), slots.take('young', 2, 0)]
  for (const slot of [old, young]) {
    slots.write(slot, { ...ENTRY, expiresAt: Infinity, goneAt: Infinity }, 1)
    t.equal(slots.checked(slot), 0)
  }
  slots.setChecked(old, 7)
  slots.setChecked(young, 2 ** 32 - 1)
  t.strictSame([slots.checked(old), slots.checked(young)], [7, 2 ** 32 - 1])
  slots.setChecked(young, 2 ** 32 + 7)
  t.strictSame([slots.checked(old), slots.checked(young)], [0, 2 ** 32 + 7])
  t.equal(slots.hit(old, 0, 'old', 1000, 7), NOT_USED)
  t.not(slots.hit(young, 0, 'young', 1000, 2 ** 32 + 7), NOT_USED)
  t.equal(slots.hit(young, 0, 'young', 1000, 2 ** 32 + 8), NOT_USED)
  t.not(slots.hit(old, 0, 'old', 1000, 0), NOT_USED, 'nothing was ever invalidated')
  t.equal(slots.accessCount(old), 1)
})

t.test('a hit is a use of a fresh entry with that very key', async (t) => {
  const slots = new Slots(() => {})
  const slot = slots.take('k', 1, 3)
  const expiresAt = 5 * 2 ** 32 + 10
  slots.write(slot, { ...ENTRY, expiresAt, goneAt: expiresAt, accessCount: 0 }, 1)
  for (const now of [1, expiresAt - 1, expiresAt - 2 ** 32]) t.not(slots.hit(slot, 3, 'k', now, 0), NOT_USED, `at ${now}`)
  t.strictSame([slots.accessCount(slot), slots.accessedAt(slot)], [3, expiresAt - 2 ** 32])
  for (const now of [expiresAt, expiresAt + 1, expiresAt + 2 ** 32]) t.equal(slots.hit(slot, 3, 'k', now, 0), NOT_USED, `at ${now}`)
  t.equal(slots.hit(slot, 3, 'j', 1, 0), NOT_USED)
  t.equal(slots.hit(slot, 4, 'k', 1, 0), NOT_USED)
  t.strictSame([slots.accessCount(slot), slots.accessedAt(slot), slots.expiresAt(slot)], [3, expiresAt - 2 ** 32, expiresAt])
})

t.test('a sort in slices orders by rank, and leaves equals as they stood', async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.nat(9)), async (ranks) => {
    const sorted = await sortedInSlices(Int32Array.from(ranks.keys()), (at) => ranks[at] as number)
    const expected = [...ranks.keys()].sort((a, b) => (ranks[a] as number) - (ranks[b] as number) || a - b)
    t.strictSame([...sorted], expected)
  }), { numRuns: 100 })
})

t.test('a pass ends when it is told to', async (t) => {
  const taken: number[] = []
  await inSlices(10, (step) => {
    taken.push(step)
    return step < 3
  })
  t.strictSame(taken, [0, 1, 2, 3])
})

const ENTRY = {
  namespace: 'n',
  key: '',
  value: '1',
  dataType: 'json',
  tags: NO_TAGS,
  metadata: undefined,
  strategy: 'lru',
  createdAt: 1,
  accessedAt: 1,
  accessCount: 0,
  expiresAt: Infinity,
  goneAt: Infinity,
  version: 1,
  stamp: 1
} as const
