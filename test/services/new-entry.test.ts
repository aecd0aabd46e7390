import t from 'tap'
import { builtStrategy, toNewEntry } from '../../services/new-entry.js'

t.test('what a caller gives becomes what the cache takes', async (t) => {
  t.strictSame(toNewEntry({ key: 'k', value: 1 }, 'memory'), { value: '1', dataType: 'number' })
  t.strictSame(toNewEntry({ key: 'k', value: [1], data_type: 'list', ttl: 0, strategy: 'fifo', metadata: { tags: ['a', 'a'], source: 'database' } }, 'memory'), {
    value: '[1]',
    dataType: 'list',
    ttl: 0,
    strategy: 'fifo',
    tags: ['a'],
    metadata: '{"tags":["a","a"],"source":"database"}'
  })
  t.strictSame(toNewEntry({ key: 'k', value: null, metadata: {} }, 'memory'), { value: 'null', dataType: 'json', metadata: '{}' })
})

t.test('metadata takes at most 16 KiB, and nothing that JSON cannot carry', async (t) => {
  t.equal(toNewEntry({ key: 'k', value: 1, metadata: { a: 'x'.repeat(16_376) } }, 'memory').metadata?.length, 16_384)
  t.throws(() => toNewEntry({ key: 'k', value: 1, metadata: { a: 'x'.repeat(16_377) } }, 'memory'), { code: 'ERR_INVALID_INPUT', message: /^metadata must/ })
  t.throws(() => toNewEntry({ key: 'k', value: 1, metadata: { a: 'é'.repeat(8_189) } }, 'memory'), { code: 'ERR_INVALID_INPUT', message: /^metadata must/ })
  t.throws(() => toNewEntry({ key: 'k', value: 1, metadata: { a: Infinity } }, 'memory'), { code: 'ERR_INVALID_INPUT', message: /^metadata holds/ })
  t.throws(() => toNewEntry({ key: 'k', value: 1, metadata: { tags: [''] } }, 'memory'), { code: 'ERR_INVALID_INPUT', message: /^metadata\/tags must/ })
})

t.test('the strategies with a durable tier are for the memory backend, and refused elsewhere in words', async (t) => {
  t.equal(builtStrategy('ttl', 'memory'), 'ttl')
  for (const strategy of ['write_through', 'write_behind'] as const) {
    t.equal(builtStrategy(strategy, 'memory'), strategy)
    for (const backend of ['redis', 'memcached', 'database', 'file'] as const) {
      t.throws(() => builtStrategy(strategy, backend), { statusCode: 422, code: 'ERR_UNSUPPORTED_HERE', message: /use the memory backend/ })
    }
  }
})

t.test('redis refuses what its index cannot tell', async (t) => {
  for (const strategy of ['lru', 'lfu', 'fifo', 'ttl'] as const) t.equal(builtStrategy(strategy, 'redis'), strategy)
  for (const strategy of ['sieve', 's3fifo', 'adaptive'] as const) {
    t.throws(() => builtStrategy(strategy, 'redis'), { statusCode: 422, message: /one number for each entry/ })
  }
})
