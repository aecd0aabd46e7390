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
