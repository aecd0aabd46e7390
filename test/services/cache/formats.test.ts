import t from 'tap'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { monotonicNow } from '../../../services/cache/clock.js'
import { decode, encode, encodeBytes, encodedLength, encodeText } from '../../../services/cache/encoding.js'
import { DATA_TYPES, NO_TAGS, sizeOf, STRATEGIES, type StoredEntry } from '../../../services/cache/entry.js'
import { HEADER_LENGTH, packTombstone, prefixLength } from '../../../services/cache/record.js'
import { type PackedRecord, RecordFormat } from '../../../services/cache/record-format.js'
import { formatVersion, parseVersion, versionSource } from '../../../services/cache/version.js'
import { Random } from './random.js'
import { ManualClock } from './setup.js'

const values = [null, 0, -1.5, '', 'text', 'é', '😀', '\ud800', 'a\0b', [], {}, { ['__proto__']: 1 }, 'x'.repeat(20_000), 'é'.repeat(10_000), [[['deep']]]]

t.test('values come back as they went in, each time anew', async (t) => {
  for (const value of values) {
    const encoded = encode(value)
    t.strictSame(decode(encoded), value)
    t.equal(encodedLength(encoded), Buffer.byteLength(JSON.stringify(value)))
    t.strictSame(encodeBytes(Buffer.from(JSON.stringify(value))), encoded, 'from bytes as from text')
  }
  t.equal(encode(undefined), 'null')
  t.throws(() => encode(1n), TypeError)
  const list = encode([1])
  t.not(decode(list), decode(list))
})

t.test('short ASCII stays text, all else is bytes that hold on to no other memory', async (t) => {
  t.equal(encodeText('abc'), 'abc')
  t.equal(encodeBytes(Buffer.from('abc')), 'abc')
  t.type(encodeText('x'.repeat(16_384)), 'string')
  for (const bytes of [encodeText('é'), encodeText('x'.repeat(16_385)), encodeBytes(Buffer.from('é')), encodeBytes(Buffer.alloc(65_536, 'é').subarray(100, 200))]) {
    t.ok(typeof bytes !== 'string' && bytes.buffer.byteLength <= 2 * bytes.length)
  }
})

t.test('a size is key, value, tags, metadata and the overhead, in bytes', async (t) => {
  const least = sizeOf('', '', NO_TAGS, undefined)
  t.equal(sizeOf('é', 'abc', NO_TAGS, undefined), least + 5)
  t.equal(sizeOf('k', Buffer.from('é'), NO_TAGS, '{"é":1}'), least + 1 + 2 + 8)
  t.equal(sizeOf('k', '1', ['tag', 'é'], undefined), least + 2 + 2 * 16 + 5)
})

t.test('a record holds all of an entry', async (t) => {
  const format = new RecordFormat()
  const pack = (entry: StoredEntry, skew: number): Buffer => (format.pack(entry, skew) as PackedRecord).record
  const random = new Random()
  const now = Date.UTC(2030, 0, 1)
  for (let round = 0; round < 500; round++) {
    const entry: StoredEntry = {
      namespace: 'n',
      key: 'k',
      value: encode(random.pick(values)),
      dataType: random.pick(DATA_TYPES),
      strategy: random.pick(STRATEGIES),
      tags: random.pick([NO_TAGS, ['a'], ['é', '__proto__', ''], Array.from({ length: 100 }, (_, at) => `tag:${at}`)]),
      metadata: random.pick([undefined, '{}', '{"tags":["a"],"é":"\\u0000"}']),
      stamp: random.below(2 ** 50),
      version: random.below(2 ** 53),
      createdAt: now + random.below(1000),
      accessedAt: now + random.below(1000),
      expiresAt: random.pick([Infinity, now + random.below(1e12)]),
      goneAt: random.pick([Infinity, now + random.below(1e12)]),
      accessCount: random.below(2 ** 32)
    }
    const skew = random.pick([0, 5000, -86_400_000])
    const record = pack(entry, skew)
    const same = (found: unknown, expected: unknown, what: string): void => {
      if (!t.strictSame(found, expected, what)) throw new Error(`seed ${random.seed}`)
    }
    if (round < 50) same(format.unpack('n', 'k', record, skew), entry, 'unpacked')
    const { value: _, ...facts } = entry
    const prefix = prefixLength(record) as number
    if (round < 50) same(format.facts('n', 'k', record.subarray(0, prefix), skew), facts, 'the facts alone')
    // Whatever happened to the bytes, it is an entry or none, never a fault.
    const damaged = Buffer.from(record.subarray(0, random.below(record.length + 1)))
    for (let hits = random.below(5); hits > 0 && damaged.length > 0; hits--) damaged[random.below(Math.min(damaged.length, 300))] = random.below(256)
    if ((await format.unpack('n', 'k', damaged, skew))?.key === 'other') t.fail('impossible')
  }
  const plain: StoredEntry = {
    namespace: 'n',
    key: 'k',
    value: '1',
    dataType: 'json',
    strategy: 'lru',
    tags: ['ab'],
    metadata: undefined,
    stamp: 1,
    version: 1,
    createdAt: now,
    accessedAt: now,
    expiresAt: now,
    goneAt: now,
    accessCount: 0
  }
  for (const [from, to] of [['{"t":["ab"]}', '        null'], ['{"t":["ab"]}', '{"t":["ab"],'], ['["ab"]', '{"a":1'], ['["ab"]', '[1234]']] as const) {
    const record = pack(plain, 0)
    record.write(to, record.indexOf(from))
    t.equal(format.unpack('n', 'k', record, 0), undefined, to)
  }
  for (const bytes of [Buffer.alloc(0), packTombstone(), Buffer.from('anything else'), Buffer.alloc(1000), Buffer.alloc(HEADER_LENGTH, 0xff)]) {
    t.equal(prefixLength(bytes), undefined)
    t.equal(format.unpack('n', 'k', bytes, 0), undefined)
    t.equal(format.facts('n', 'k', bytes, 0), undefined)
  }
})

t.test('versions differ, rise, and survive being printed', async (t) => {
  const clock = new ManualClock()
  const next = versionSource(clock.now)
  const seen: number[] = []
  for (let at = 0; at < 5000; at++) {
    if (at % 1000 === 500) clock.advance(at === 2500 ? -3600 : 1)
    seen.push(next())
  }
  t.ok(seen.every((version, at) => Number.isSafeInteger(version) && (at === 0 || version > (seen[at - 1] as number))), 'also when the clock steps back')
  for (const version of seen.slice(0, 100)) t.equal(parseVersion(formatVersion(version)), version)
  clock.at = Date.UTC(2040, 0, 1)
  t.ok(Number.isSafeInteger(next()))
  for (const text of ['', 'v', '1v', 'v1', '1v1v1', '1 v1', '-1v1', '1v1\n', '1e3v1', '9'.repeat(30) + 'v1', 'NaN']) t.ok(Number.isNaN(parseVersion(text)), JSON.stringify(text))
})

t.test('the clock stands within a turn, goes on between turns, and stays near the wall clock', async (t) => {
  const now = monotonicNow()
  let last = now()
  t.ok(Math.abs(last - Date.now()) < 1000)
  for (let turn = 0; turn < 5; turn++) {
    for (const until = performance.now() + 2; performance.now() < until;);
    t.equal(now(), last)
    await nextTurn()
    await nextTurn()
    t.ok(now() > last)
    last = now()
  }
})
