// `node bench/codec.mjs`, after `npm run build`: what compression, encryption and CBOR cost, per value, and what they save.
import { randomBytes } from 'node:crypto'
import { promisify } from 'node:util'
import zlib from 'node:zlib'
import { KeyRing } from '../dist/services/cache/codec/key-ring.js'
import { KeySource } from '../dist/services/cache/codec/key-source.js'
import { encodeText } from '../dist/services/cache/encoding.js'
import { RecordFormat } from '../dist/services/cache/record-format.js'
import { describeMachine } from './machine.mjs'
import { inTurns, median, printTable } from './statistics.mjs'
import { generator } from './traces/random.mjs'

const SIZES = [200, 512, 1024, 10_240, 102_400, 1_048_576]
const ROUNDS = 7
/** Milliseconds of one round of one subject. */
const ROUND = 40

const random = generator(1)
const below = (bound) => Math.floor(random() * bound)
const words = 'the quick brown fox jumps over a lazy dog while some cache keeps values for readers who ask again and again'.split(' ')
const text = (length) => Array.from({ length }, () => words[below(words.length)]).join(' ')
const product = (id) => ({
  id, name: text(2), description: text(8 + below(8)), price: below(10_000) / 100, category: words[below(5)], stock_quantity: below(1000), created_at: new Date(1.7e12 + below(1e9)).toISOString()
})

/** JSON of about so many bytes: a list of products, or the part of one. */
function sample (size) {
  if (size < 400) return JSON.stringify({ id: below(1000), name: text(3), description: text(size / 8), price: 29.99 })
  const list = []
  while (JSON.stringify(list).length < size) list.push(product(list.length))
  return JSON.stringify(list)
}

const { BROTLI_PARAM_QUALITY: QUALITY, BROTLI_PARAM_SIZE_HINT: SIZE_HINT } = zlib.constants
const brotli = (quality) => [
  (bytes) => zlib.brotliCompressSync(bytes, { params: { [QUALITY]: quality, [SIZE_HINT]: bytes.length } }), (bytes) => zlib.brotliDecompressSync(bytes)
]
const algorithms = {
  'deflate 1': [(bytes) => zlib.deflateRawSync(bytes, { level: 1 }), (bytes) => zlib.inflateRawSync(bytes)],
  'deflate 6': [(bytes) => zlib.deflateRawSync(bytes, { level: 6 }), (bytes) => zlib.inflateRawSync(bytes)],
  'gzip 6': [(bytes) => zlib.gzipSync(bytes), (bytes) => zlib.gunzipSync(bytes)],
  'brotli 1': brotli(1),
  'brotli 4': brotli(4),
  'deflate 1, another thread': [promisify(zlib.deflateRaw), promisify(zlib.inflateRaw)].map((work) => (bytes) => work(bytes, { level: 1 }))
}

/** Microseconds of one call, by subject. */
async function measure (subjects) {
  const times = new Map(subjects.map(([name]) => [name, []]))
  await inTurns(subjects, ROUNDS, async ([name, work]) => {
    const start = performance.now()
    let calls = 0
    do {
      const done = work()
      if (done instanceof Promise) await done
      calls++
    } while (performance.now() - start < ROUND)
    times.get(name).push((performance.now() - start) / calls * 1000)
  })
  return Object.fromEntries([...times].map(([name, each]) => [name, median(each)]))
}

console.log(describeMachine())

const rows = []
for (const size of SIZES) {
  const bytes = Buffer.from(sample(size))
  const packed = Object.fromEntries(await Promise.all(Object.entries(algorithms).map(async ([name, [compress]]) => [name, await compress(bytes)])))
  const times = await measure(Object.entries(algorithms).flatMap(([name, [compress, decompress]]) => [
    [`${name} >`, () => compress(bytes)], [`${name} <`, () => decompress(packed[name])]
  ]))
  for (const name of Object.keys(algorithms)) {
    rows.push([`${bytes.length} B · ${name}`, `${(packed[name].length / bytes.length * 100).toFixed(0)} %`, times[`${name} >`].toFixed(1), times[`${name} <`].toFixed(1)])
  }
}
printTable('Algorithms', ['', 'of the size', 'compress µs', 'decompress µs'], rows)

const keys = await KeyRing.open([new KeySource(undefined, randomBytes(32))])
const formats = {
  'as it is': {},
  compressed: { compression: true },
  encrypted: { keys, encryption: true },
  'compressed, encrypted': { keys, compression: true, encryption: true },
  CBOR: { serialization: 'cbor' }
}
const results = []
for (const size of SIZES) {
  const value = encodeText(sample(size))
  const entry = {
    namespace: 'default', key: 'product:1', value, dataType: 'json', strategy: 'lru', tags: ['products'], metadata: undefined, stamp: 1, version: 1, createdAt: 1e12, accessedAt: 1e12, expiresAt: 2e12, goneAt: 2e12, accessCount: 0
  }
  const subjects = []
  const lengths = {}
  for (const [name, options] of Object.entries(formats)) {
    const format = new RecordFormat(options)
    const { record, headLength } = await format.pack(entry, 0)
    lengths[name] = record.length - headLength
    subjects.push([`${name} >`, () => format.pack(entry, 0)], [`${name} <`, () => format.unpack('default', 'product:1', record, 0)])
  }
  const times = await measure(subjects)
  for (const name of Object.keys(formats)) results.push([`${value.length} B · ${name}`, String(lengths[name]), times[`${name} >`].toFixed(1), times[`${name} <`].toFixed(1)])
}
printTable('An entry with a tag, as a record', ['', 'stored B', 'pack µs', 'unpack µs'], results)
