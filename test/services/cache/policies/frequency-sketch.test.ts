import t from 'tap'
import { FrequencySketch } from '../../../../services/cache/policies/frequency-sketch.js'
import { hashKey } from '../../../../services/cache/policies/hash.js'
import { Random } from '../random.js'

const hash = (number: number): number => hashKey(String(number), 1)

t.test('an estimate is never too low, capped at 15, and hardly ever too high', async (t) => {
  const random = new Random()
  const sketch = new FrequencySketch()
  const keys = 4096
  sketch.resize(keys)
  const counts = new Uint32Array(keys)
  for (let addition = 0; addition < keys * 8; addition++) {
    const key = Math.floor(keys * random.next() ** 3)
    counts[key]!++
    sketch.add(hash(key), Infinity)
  }
  let low = 0
  let high = 0
  for (const [key, count] of counts.entries()) {
    const error = sketch.estimate(hash(key)) - Math.min(15, count)
    if (error < 0) low++
    if (error > 1) high++
  }
  t.equal(low, 0, `seed ${random.seed}`)
  t.ok(high < keys * 0.05, `${high} of ${keys} are more than one too high, seed ${random.seed}`)
})

t.test('after a period all counts are halved, wherever they are and whenever they are looked at', async (t) => {
  const sketch = new FrequencySketch()
  sketch.resize(4096)
  const keys = Array.from({ length: 100 }, (_, at) => hash(at))
  for (const key of keys) for (let use = 0; use < 8; use++) sketch.add(key, Infinity)
  const before = keys.map((key) => sketch.estimate(key))
  t.ok(before.every((count) => count >= 8))
  const other = hash(100_000)
  sketch.add(other, 801)
  t.strictSame(keys.map((key) => sketch.estimate(key)), before.map((count) => count >> 1))
  sketch.add(other, 1)
  sketch.add(other, 1)
  t.strictSame(keys.map((key) => sketch.estimate(key)), before.map((count) => count >> 3), 'several at once')
  for (let use = 0; use < 10; use++) sketch.add(other, 1)
  t.ok(keys.every((key) => sketch.estimate(key) === 0), 'all is forgotten in the end')
})

t.test('a count stops at 15', async (t) => {
  const sketch = new FrequencySketch()
  sketch.resize(64)
  for (let use = 0; use < 1000; use++) sketch.add(1, Infinity)
  t.equal(sketch.estimate(1), 15)
})

t.test('growing changes no estimate', async (t) => {
  const sketch = new FrequencySketch()
  sketch.resize(16)
  const keys = Array.from({ length: 200 }, (_, at) => hash(at))
  for (const [at, key] of keys.entries()) for (let use = 0; use < at % 7; use++) sketch.add(key, 150)
  const before = keys.map((key) => sketch.estimate(key))
  sketch.resize(4096)
  t.strictSame(keys.map((key) => sketch.estimate(key)), before)
  t.ok(before.some((count) => count > 0))
})
