import fc from 'fast-check'
import { deepStrictEqual as deepEqual, ok, strictEqual as equal } from 'node:assert/strict'
import { randomBytes, randomInt } from 'node:crypto'
import { deflateRawSync } from 'node:zlib'
import t from 'tap'
import { COMPRESSION_THRESHOLD } from '../../../services/cache/codec/compression.js'
import { DATA_TYPES, goneAfter, graceOf, type StoredEntry } from '../../../services/cache/entry.js'
import { HEADER_LENGTH, prefixLength } from '../../../services/cache/record.js'
import { RecordFormat, type UnreadableReport } from '../../../services/cache/record-format.js'
import { entryWith, packed, readBack, ringOf } from './codec/records.js'

const seed = Number(process.env['FC_SEED'] ?? randomInt(2 ** 31))
const runs = (numRuns: number): { seed: number, numRuns: number } => ({ seed, numRuns })
t.comment(`seed ${seed}: FC_SEED=${seed} repeats these runs`)

/** Text that compresses, of about so many bytes. */
const prose = (length: number): string => JSON.stringify(Array.from({ length: Math.ceil(length / 27) }, (_, at) => ({ id: at, name: `product ${at}` })))
const noise = (length: number): string => JSON.stringify(randomBytes(Math.ceil(length * 3 / 4)).toString('base64'))

const anyJson = fc.oneof(
  fc.json({ maxDepth: 5 }),
  fc.jsonValue({ noUnicodeString: false }).map((value) => JSON.stringify(value)),
  fc.dictionary(fc.oneof(fc.string(), fc.constantFrom('__proto__', 'constructor', 'toJSON', '1', '0', '-1', '1e3', '')), fc.jsonValue(), { noNullPrototype: true }).map((value) => JSON.stringify(value)),
  fc.constantFrom('{"__proto__":{"a":1}}', '[{"__proto__":null,"2":1,"1":2}]', '-0', '[-0,0,1e400]', '1E2', '9007199254740993', '18446744073709551615', '-9223372036854775808', '4294967296',
    '0.1', '5e-324', '1.7976931348623157e308', '"\\ud800"', '"\\udc00\\ud800"', '"😀é\\u0000"', '{"b":1,"a":2,"1":3}', '{"a":1,"a":2}', ' [1 ] ', '[["same","same"],"same","same"]', '""', 'null'),
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.maxSafeInteger().map(String),
  fc.string({ unit: 'binary', maxLength: 3000 }).map((text) => JSON.stringify(text)),
  fc.constantFrom(100, 1023, 1024, 5000, 60_000).map(prose),
  fc.constantFrom(100, 1023, 1024, 5000, 60_000).map(noise)
)
const entries = fc.record({
  json: anyJson,
  dataType: fc.constantFrom(...DATA_TYPES),
  tags: fc.array(fc.string({ maxLength: 20 }), { maxLength: 5 }),
  metadata: fc.option(fc.json({ maxDepth: 2 }), { nil: undefined }),
  key: fc.string({ minLength: 1, maxLength: 40, unit: 'binary' }),
  namespace: fc.string({ minLength: 1, maxLength: 10 }),
  version: fc.maxSafeInteger().map(Math.abs),
  skew: fc.constantFrom(0, 5000, -86_400_000)
})

const settings = { serialization: fc.constantFrom('json' as const, 'cbor' as const), compression: fc.boolean(), encryption: fc.boolean() }

void t.test('an entry comes back as it was, to the byte, whatever is applied', async (t) => {
  const keys = await ringOf()
  const reader = new RecordFormat({ keys })
  await fc.assert(fc.asyncProperty(entries, fc.record(settings), async ({ json, skew, ...more }, applied) => {
    const writer = new RecordFormat({ keys, ...applied })
    const entry: StoredEntry = entryWith(json, more)
    const { record, headLength, storedLength, size } = await writer.pack(entry, skew)
    // Whoever reads has other settings than whoever wrote.
    const found = await reader.unpack(entry.namespace, entry.key, record, skew)
    ok(found)
    equal(found.value.toString(), json)
    const apart = await reader.unpack(entry.namespace, entry.key, record.subarray(0, headLength), skew, record.subarray(headLength))
    const { value: _, storedLength: length = found.value.length, ...facts } = found
    const { value: __, ...expected } = entry
    deepEqual(facts, expected)
    deepEqual(apart, found)
    deepEqual(reader.facts(entry.namespace, entry.key, record.subarray(0, headLength), skew), facts)
    equal(prefixLength(record), headLength)
    equal(length, record.length - headLength)
    equal(storedLength ?? entry.value.length, record.length - headLength)
    ok(size > record.length - headLength)
    ok(record.length - headLength <= entry.value.length + (applied.encryption ? 16 : 0), 'nothing makes a value longer but its seal')
  }), runs(200))
  t.equal(reader.unreadable(), 0)
})

void t.test('a header whose numbers make no sense is a miss', async (t) => {
  const format = new RecordFormat()
  for (const at of [16, 24, 32, 40, 48, 64]) {
    const { record } = await packed(format, entryWith('1'))
    record.writeDoubleLE(NaN, at)
    t.equal(await readBack(format, record), undefined)
    t.equal(format.facts('n', 'k', record, 0), undefined)
  }
  for (const at of [24, 48]) {
    const { record } = await packed(format, entryWith('1'))
    record.writeDoubleLE(1e300, at)
    t.equal(await readBack(format, record), undefined, 'no date')
  }
})

void t.test('what never expires keeps its grace, whichever clocks write and read it', async (t) => {
  const format = new RecordFormat()
  for (const [written, read] of [[0, 0], [0.3, -0.4], [5000, -3000], [-86_400_000, 86_400_000]] as const) {
    const { record } = await format.pack({ ...entryWith('1'), expiresAt: Infinity, goneAt: goneAfter(Infinity, 7) }, written)
    t.equal(graceOf((await format.unpack('n', 'k', record, read))!), 7000)
  }
})

void t.test('compression', async (t) => {
  const format = new RecordFormat({ compression: true })
  const plain = new RecordFormat()

  t.test('is for values of a kilobyte and more that become shorter', async (t) => {
    for (const [json, isShorter] of [[prose(COMPRESSION_THRESHOLD + 30), true], [prose(COMPRESSION_THRESHOLD / 2), false], [prose(300_000), true]] as const) {
      const entry = entryWith(json)
      const { record, size } = await packed(format, entry)
      const whole = await packed(plain, entry)
      t.equal(record.length < whole.record.length, isShorter, `${json.length} bytes`)
      t.equal(size, whole.size - whole.record.length + record.length, 'it counts for what is stored')
      t.equal(await readBack(plain, record), json, 'and can be read where it is off')
    }
    for (const length of [20_000, 200_000]) {
      const binary = new RecordFormat({ serialization: 'cbor', compression: true })
      const { record, headLength } = await packed(binary, entryWith(noise(length), { dataType: 'binary' }))
      t.equal(record.length - headLength, length * 3 / 4, 'random bytes do not')
    }
  })

  t.test('takes a promise for large values alone', async (t) => {
    t.notOk(format.pack(entryWith(prose(40_000)), 0) instanceof Promise)
    t.ok(format.pack(entryWith(prose(400_000)), 0) instanceof Promise)
    const { record } = await packed(format, entryWith(prose(400_000)))
    t.ok(format.unpack('n', 'k', record, 0) instanceof Promise)
    const small = await packed(format, entryWith(prose(40_000)))
    t.notOk(format.unpack('n', 'k', small.record, 0) instanceof Promise)
  })

  t.test('can be no bomb', async (t) => {
    const { record } = await packed(format, entryWith(prose(2000)))
    const header = record.subarray(0, HEADER_LENGTH)
    const bomb = (claimed: number, bytes: Buffer): Buffer => {
      const length = Buffer.alloc(4)
      length.writeUInt32LE(claimed)
      return Buffer.concat([header, length, bytes])
    }
    const zeros = deflateRawSync(Buffer.alloc(30_000_000))
    const before = process.memoryUsage().arrayBuffers
    for (const claimed of [0, 1, 1000, 64 * 1024 * 1024, 30_000_001, 0xffffffff]) t.equal(await readBack(format, bomb(claimed, zeros)), undefined, String(claimed))
    for (const bytes of [Buffer.alloc(0), Buffer.from('x'), randomBytes(500)]) {
      for (const claimed of [0, 10, 500_000, 0xffffffff]) t.equal(await readBack(format, bomb(claimed, bytes)), undefined)
    }
    t.ok(process.memoryUsage().arrayBuffers - before < 150_000_000, 'nothing is kept')
    t.equal(format.unreadable(), 18)
  })
})

void t.test('values as CBOR', async (t) => {
  const cbor = new RecordFormat({ serialization: 'cbor' })
  const plain = new RecordFormat()
  const formOf = async (json: string, more: Partial<StoredEntry> = {}): Promise<number> => (await packed(cbor, entryWith(json, more))).record[5] as number

  t.test('are those that come back as the same text', async (t) => {
    for (const json of ['{"a":[1,2,3.5,true,null,"é"]}', '[["same","same"],"same"]', '1234567890', '"some text that is long enough"', '-12345', '12345678901234', prose(100_000)]) t.equal(await formOf(json), 1, json.slice(0, 50))
    for (const json of ['{"__proto__":1,"more":"text"}', '-0', '1e400', '"\\ud800 and more text"', '{"b":1, "a":2}', '{"2":1,"1":2}', '9007199254740993', '[1E2]', `${'['.repeat(2000)}${']'.repeat(2000)}`, prose(300_000)]) {
      t.equal(await formOf(json), 0, json.slice(0, 50))
      t.equal(await readBack(plain, (await packed(cbor, entryWith(json))).record), json)
    }
    const deep = `${'['.repeat(20_000)}${']'.repeat(20_000)}`
    t.equal(await readBack(cbor, (await packed(cbor, entryWith(deep))).record), deep)
    t.equal(await formOf('[1,2,3,4,5]'), 1, 'and what was too deep did no harm')
  })

  t.test('are bytes where the type is binary', async (t) => {
    const base64 = randomBytes(999).toString('base64')
    const entry = entryWith(`"${base64}"`, { dataType: 'binary' })
    const { record, headLength } = await packed(cbor, entry)
    t.ok(record.subarray(headLength).equals(Buffer.from(base64, 'base64')))
    t.equal(await readBack(plain, record), `"${base64}"`)
    for (const odd of ['"YWJ"', '"YR=="', 'null', '"a\\u0062=="', '""']) t.equal(await readBack(cbor, (await packed(cbor, entryWith(odd, { dataType: 'binary' }))).record), odd)
  })

  t.test('hostile bytes are a miss', async (t) => {
    const { record } = await packed(cbor, entryWith('[1,2,3,4,5]'))
    const head = record.subarray(0, prefixLength(record))
    const hostile = ['9affffffff', '9b0000000100000000', 'bbffffffffffffffff', '7bffffffffffffffff00', '5affffffff', '9f01ff', 'bf01ff', 'c0613030', 'd81b821a', 'd9010400', 'a10102', 'a16161', 'ff', '', 'f7', 'f800', 'f818', '1c', '0101', '82',
      'd87f9f', `${'81'.repeat(100_000)}01`, '1bffffffffffffffff', 'd8408100', '61', '62c3', `9a00ffffff${'00'.repeat(100)}`]
    for (const hex of hostile) t.equal(await readBack(cbor, Buffer.concat([head, Buffer.from(hex, 'hex')])), undefined, hex.slice(0, 20))
    t.equal(cbor.unreadable(), hostile.length)
    await fc.assert(fc.asyncProperty(fc.uint8Array({ maxLength: 60 }), async (bytes) => {
      const text = await readBack(cbor, Buffer.concat([head, bytes]))
      if (text !== undefined) JSON.parse(text)
    }), runs(1000))
    t.equal(await readBack(cbor, record), '[1,2,3,4,5]')
  })
})

void t.test('encryption', async (t) => {
  const keys = await ringOf()
  const format = new RecordFormat({ keys, encryption: true, compression: true, purpose: 'redis:api' })

  t.test('shows nothing of value, tags and metadata', async (t) => {
    for (const length of [20, 2000, 100_000]) {
      const entry = entryWith(JSON.stringify('SECRET-VALUE '.repeat(length / 10)), { tags: ['SECRET-TAG'], metadata: '{"SECRET-META":"SECRET-META"}' })
      const { record } = await packed(format, entry)
      t.equal(record.indexOf('SECRET'), -1)
    }
    const [one, other] = [await packed(format, entryWith('"same"')), await packed(format, entryWith('"same"'))]
    t.notOk(one.record.subarray(HEADER_LENGTH).equals(other.record.subarray(HEADER_LENGTH)), 'the same value never looks the same')
  })

  t.test('any byte that is changed makes a miss', async (t) => {
    const entry = entryWith('"some value"', { tags: ['a', 'b'], metadata: '{"a":1}', expiresAt: 2e12, goneAt: 2e12 })
    const { record, headLength } = await packed(format, entry)
    const isSealed = (at: number): boolean => at < 8 || (at >= 16 && at < 32) || (at >= 60 && at < 64)
    const survivors: number[] = []
    for (let at = 0; at < record.length; at++) {
      for (const change of [1, 0x80, 0xff]) {
        const damaged = Buffer.from(record)
        damaged[at]! ^= change
        const value = await readBack(format, damaged)
        if (value !== undefined) survivors.push(at)
        if (value !== undefined && value !== '"some value"') t.fail(`garbage: ${value}`)
        format.facts('n', 'k', damaged.subarray(0, headLength), 0) // never a fault
      }
    }
    t.strictSame([...new Set(survivors)], Array.from({ length: HEADER_LENGTH }, (_, at) => at).filter((at) => !isSealed(at)), 'what scripts write in place is not sealed')
    for (let length = 0; length < record.length; length++) if (await readBack(format, record.subarray(0, length)) !== undefined) t.fail(`cut to ${length}`)
    t.equal(await readBack(format, Buffer.concat([record, Buffer.from('x')])), undefined)
  })

  t.test('nothing can be read in the place of another', async (t) => {
    const { record, headLength } = await packed(format, entryWith('"mine"', { tags: ['t'] }))
    const before = format.unreadable()
    t.equal(await readBack(format, record, 'n', 'other'), undefined, 'of another key')
    t.equal(await readBack(format, record, 'other', 'k'), undefined, 'of another namespace')
    t.equal(await readBack(format, record, 'n:k', ''), undefined)
    t.equal(format.unreadable(), before + 3)
    t.match(format.facts('n', 'other', record.subarray(0, headLength), 0), { tags: [], isUnreadable: true }, 'nor its tags')
    t.equal(format.unreadable(), before + 3, 'a scan counts nothing')
    const elsewhere = new RecordFormat({ keys, purpose: 'redis:app' })
    t.equal(await readBack(elsewhere, record), undefined, 'of another cache')
    const next = await packed(format, entryWith('"next"', { version: 1234568, tags: ['t'] }))
    for (const [head, value] of [[record, next.record], [next.record, record]] as const) {
      t.equal(await readBack(format, Buffer.concat([head.subarray(0, headLength), value.subarray(headLength)])), undefined, 'of another version')
    }
    const tags = record.subarray(HEADER_LENGTH + 32, headLength)
    t.equal(await readBack(format, Buffer.concat([record.subarray(0, headLength), tags])), undefined, 'tags for a value')
    const [a, b] = ['\ud800', '\ud801']
    const odd = await packed(format, entryWith('1', { key: a }))
    t.equal(await readBack(format, odd.record, 'n', a), '1')
    t.equal(await readBack(format, odd.record, 'n', b), undefined, 'halves of surrogate pairs are told apart')
  })

  t.test('keys rotate: the first writes, all read', async (t) => {
    const [old, fresh] = [randomBytes(32), randomBytes(32)]
    const entry = entryWith('"kept"', { tags: ['t'] })
    const [before, during, afterwards] = await Promise.all([[old], [fresh, old], [fresh]].map(async (ring) => new RecordFormat({ keys: await ringOf(...ring), encryption: true }))) as [RecordFormat, RecordFormat, RecordFormat]
    const written = (await packed(before, entry)).record
    t.equal(await readBack(during, written), '"kept"')
    const rewritten = (await packed(during, entry)).record
    t.equal(await readBack(afterwards, rewritten), '"kept"')
    t.equal(await readBack(afterwards, written), undefined)
    t.match(afterwards.facts('n', 'k', written, 0), { tags: [], isUnreadable: true })
    t.equal(await readBack(before, rewritten), undefined)
    t.equal(afterwards.unreadable(), 1)
    const second = new RecordFormat({ keys: await ringOf(old, fresh) })
    t.equal(await readBack(second, rewritten), '"kept"', 'the order of those that read does not matter')
  })

  t.test('is switched while running; what was written before stays readable', async (t) => {
    const format = new RecordFormat({ keys: await ringOf() })
    const entry = entryWith(prose(5000), { tags: ['t'] })
    const records: Buffer[] = []
    for (const atRest of [{}, { compression: true }, { encryption: true }, { compression: false }, { encryption: false }]) {
      format.configure(atRest)
      records.push((await packed(format, entry)).record)
    }
    t.strictSame(records.map((record) => [record[6], record[7]]), [[0, 0], [1, 0], [1, 1], [0, 1], [0, 0]])
    for (const record of records) t.equal(await readBack(format, record), entry.value.toString())
  })

  t.test('without a key nothing is written in plain, and nothing sealed is read', async (t) => {
    const reports: UnreadableReport[] = []
    const keyless = new RecordFormat({ encryption: true, purpose: 'redis:api', onUnreadable: (report) => { reports.push(report) } })
    t.throws(() => keyless.pack(entryWith('1'), 0), { code: 'ERR_BACKEND_UNAVAILABLE', message: /CACHE_ENCRYPTION_KEY/ })
    const { record } = await packed(format, entryWith('1'))
    for (let reads = 0; reads < 5; reads++) t.equal(await readBack(keyless, record), undefined)
    t.equal(keyless.unreadable(), 5)
    t.strictSame(reports, [{ 'no key': 1 }], 'said once, not at every read')
    const plain = await packed(new RecordFormat(), entryWith('1'))
    t.equal(await readBack(keyless, plain.record), '1')
  })

  t.test('does not hold the event loop for a large value', async (t) => {
    const large = entryWith(noise(9_000_000))
    const format = new RecordFormat({ keys, encryption: true })
    const packing = format.pack(large, 0)
    t.ok(packing instanceof Promise)
    const { record } = await packing
    const reading = format.unpack('n', 'k', record, 0)
    t.ok(reading instanceof Promise)
    t.equal((await reading)?.value.length, large.value.length)
    record[record.length - 100_000]! ^= 1
    t.equal(await readBack(format, record), undefined)
  })

  t.test('unknown settings of a later release are a miss', async (t) => {
    const { record } = await packed(new RecordFormat(), entryWith('1'))
    for (const at of [5, 6, 7]) {
      const later = Buffer.from(record)
      later[at] = 200
      t.equal(await readBack(format, later), undefined)
    }
  })
})
