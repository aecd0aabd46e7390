import t from 'tap'
import { hashKey } from '../../../../services/cache/policies/hash.js'

t.test('a key has one hash in a process, another under another salt', async (t) => {
  t.equal(hashKey('user:1'), hashKey(['user', '1'].join(':')))
  t.not(hashKey('user:1'), hashKey('user:2'))
  t.not(hashKey('user:1', hashKey('a')), hashKey('user:1', hashKey('b')))
  t.ok(Number.isInteger(hashKey('')))
  t.not(hashKey('é'), hashKey('e\u0301'))
})

t.test('keys that are alike spread over all bits', async (t) => {
  const keys = 65_536
  const seen = new Set<number>()
  const ones = new Uint32Array(32)
  const buckets = new Uint32Array(256)
  for (let at = 0; at < keys; at++) {
    const hash = hashKey(`product:${at}`)
    seen.add(hash)
    buckets[hash & 255]!++
    for (let bit = 0; bit < 32; bit++) ones[bit]! += (hash >>> bit) & 1
  }
  t.ok(seen.size > keys - 30, `${keys - seen.size} collisions`)
  for (const [bit, count] of ones.entries()) {
    if (Math.abs(count / keys - 0.5) > 0.02) t.fail(`bit ${bit} is set in ${count} of ${keys}`)
  }
  t.ok(buckets.every((count) => count > 128 && count < 512), 'the low bits make even buckets')
})
