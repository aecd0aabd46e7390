import t from 'tap'
import { RecentKeys } from '../../../../../services/cache/backends/memory/recent-keys.js'
import { Slots } from '../../../../../services/cache/backends/memory/slots.js'
import { sampleKey } from '../../../../../services/cache/policies/hash.js'

t.test('a key is found where it was seen last, and another one with the same sample is not', async (t) => {
  const slots = new Slots(() => {})
  const recent = new RecentKeys(slots)
  const [key, twin] = ['a1b-name', 'a2b-name']
  const sample = sampleKey(key, 5)
  t.equal(sampleKey(twin, 5), sample, 'they differ where nobody looks')
  t.not(sampleKey('a1b-nam3', 5), sample)
  t.not(sampleKey(key, 6), sample, 'another namespace is another key')
  t.equal(recent.find(0, key, sample), -1)
  const slot = slots.take(key, 1, 0)
  recent.note(slot, sample)
  t.equal(recent.find(0, key, sample), slot)
  t.equal(recent.find(0, twin, sample), -1)
  t.equal(recent.find(1, key, sample), -1)
  slots.release(slot)
  t.equal(recent.find(0, key, sample), -1, 'what has gone is not answered')
  t.equal(slots.take(twin, 1, 0), slot)
  t.equal(recent.find(0, key, sample), -1, 'nor who came into its slot')
  t.equal(sampleKey('abc', 5), sampleKey('abc', 5))
})

t.test('keys that have to share four places keep the ones used last', async (t) => {
  const slots = new Slots(() => {})
  const recent = new RecentKeys(slots)
  const samples = Array.from({ length: 5 }, (_, i) => 7 + i * 2 ** 16)
  const keys = samples.map((_, i) => `key-${i}`)
  const numbers = keys.map((key) => slots.take(key, 1, 0))
  for (let i = 0; i < 4; i++) recent.note(numbers[i]!, samples[i]!)
  for (let i = 0; i < 4; i++) t.equal(recent.find(0, keys[i]!, samples[i]!), numbers[i], 'four of them are known together')
  t.equal(recent.find(0, keys[0]!, samples[0]!), numbers[0])
  recent.note(numbers[4]!, samples[4]!)
  t.strictSame(keys.map((key, i) => recent.find(0, key, samples[i]!) === numbers[i]), [true, false, true, true, true], 'the one that was used the longest ago gives way')
  recent.note(numbers[1]!, samples[0]!)
  t.equal(recent.guess(samples[0]!), numbers[1], 'what is noted again is known once, by its last slot')
  t.strictSame(samples.map((sample) => recent.guess(sample) !== -1), [true, false, true, true, true])
})
