import t from 'tap'
import { DEFAULT_LIMITS } from '../../../../../services/cache/limits.js'
import { setUp, small } from './setup.js'

t.test('a quota is reserved: the others cannot take it, and its namespace cannot exceed it', async (t) => {
  const { memory, put, keys } = setUp({ maxItems: 10, quotas: new Map([['tenant', { maxItems: 3, maxMemory: 5 * small(1) }]]) })
  for (const key of ['a', 'b', 'c', 'd']) put(key, { namespace: 'tenant' })
  t.strictSame(await keys('tenant'), ['b', 'c', 'd'], 'its own went first')
  for (let at = 0; at < 20; at++) put(String(at).padStart(2, '0'))
  t.equal(memory.usage('n').items, 7, 'the others have what is left')
  t.strictSame(await keys('tenant'), ['b', 'c', 'd'])
  t.throws(() => put('large', { namespace: 'tenant', value: 'x'.repeat(5 * small(1)) }), { code: 'ERR_ENTRY_TOO_LARGE', message: /limit of/ })
  put('large', { namespace: 'tenant', value: 'x'.repeat(2 * small(1)) })
  t.strictSame(await keys('tenant'), ['d', 'large'], 'bytes count as well')
  t.strictSame([memory.counters('tenant').evictions, memory.counters('n').evictions], [3, 13])
  put('e', { namespace: 'tenant', strategy: 'fifo' })
  put('f', { namespace: 'tenant', strategy: 'fifo' })
  t.strictSame(await keys('tenant'), ['f', 'large'], 'a segment gives first within its pool')
  t.strictSame([memory.quota('tenant'), memory.quota('n')], [{ maxItems: 3, maxMemory: 5 * small(1) }, undefined])
})

t.test('quotas that are more than there is are refused, and change nothing', async (t) => {
  const quotas = new Map([['a', { maxItems: 6, maxMemory: 500 }], ['b', { maxItems: 4, maxMemory: 500 }]])
  t.throws(() => setUp({ maxItems: 9, quotas }), { code: 'ERR_UNSUPPORTED_HERE', statusCode: 422, message: /10 for max_items, more than the 9/ })
  const { memory, put, has } = setUp({ maxItems: 20 })
  put('k')
  t.throws(() => { memory.configure({ ...DEFAULT_LIMITS, maxItems: 20, maxMemory: 999, quotas }) }, { message: /1000 for max_memory, more than the 999/ })
  t.equal(memory.quota('a'), undefined)
  memory.configure({ ...DEFAULT_LIMITS, maxItems: 10, quotas })
  await memory.settled()
  t.notOk(has('k'), 'all may be reserved')
  t.throws(() => put('k'), { code: 'ERR_BACKEND_FULL', statusCode: 507 })
  put('k', { namespace: 'a' })
})

t.test('a quota set later takes its namespace in, in the order of its use, and gives it back when it goes', async (t) => {
  const { clock, memory, put, keys } = setUp({ maxItems: 10 })
  const limits = { ...DEFAULT_LIMITS, maxItems: 10 }
  for (const key of ['a', 'b', 'c', 'd']) {
    clock.at++
    put(key, { namespace: 'tenant' })
  }
  clock.at++
  memory.touch(memory.find('tenant', 'a'))
  for (const key of ['1', '2', '3', '4']) put(key)
  memory.configure({ ...limits, quotas: new Map([['tenant', { maxItems: 3, maxMemory: 5000 }]]) })
  await memory.settled()
  t.strictSame(await keys('tenant'), ['a', 'c', 'd'], 'b was used longest ago')
  t.equal(memory.counters('n').evictions, 0)
  put('e', { namespace: 'tenant' })
  t.strictSame(await keys('tenant'), ['a', 'd', 'e'])
  memory.configure({ ...limits, quotas: new Map([['tenant', { maxItems: 1, maxMemory: 5000 }]]) })
  await memory.settled()
  t.strictSame(await keys('tenant'), ['e'], 'lower, at once')
  memory.configure(limits)
  await memory.settled()
  for (const key of ['f', 'g', 'h', 'i', 'j', 'k']) put(key, { namespace: 'tenant' })
  t.strictSame([memory.usage('tenant').items, memory.usage('n').items], [7, 3], 'and then the oldest of all goes first')
})
