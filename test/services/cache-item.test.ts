import t from 'tap'
import type { Entry } from '../../services/cache/entry.js'
import { cacheItemText, joinText, secondsLeft } from '../../services/cache-item.js'

const NOW = 1_769_860_800_000

const entry: Entry = {
  namespace: 'default',
  key: 'a"\\é\u2028/',
  value: '{"a":1}',
  dataType: 'json',
  tags: ['t'],
  metadata: '{"tags":["t"],"é":"\\u0000"}',
  strategy: 'lfu',
  createdAt: NOW - 1500,
  accessedAt: NOW,
  accessCount: 3,
  expiresAt: NOW + 2500,
  goneAt: NOW + 2500,
  version: 'abc1',
  size: 145
}

t.test('an entry becomes the JSON text of a cache item', async (t) => {
  const expected = {
    key: 'a"\\é\u2028/',
    value: { a: 1 },
    data_type: 'json',
    ttl: 2.5,
    created_at: '2026-01-31T11:59:58.500Z',
    accessed_at: '2026-01-31T12:00:00.000Z',
    access_count: 3,
    size: 145,
    metadata: { tags: ['t'], é: '\u0000' },
    backend: 'memory',
    strategy: 'lfu',
    version: 'abc1'
  }
  const text = cacheItemText(entry, 'memory', NOW, '[', ']')
  t.type(text, 'string')
  t.strictSame(JSON.parse(text.toString()), [expected])

  const bytes = cacheItemText({ ...entry, value: Buffer.from('"é"') }, 'memory', NOW, '[', ']')
  t.ok(Buffer.isBuffer(bytes))
  t.strictSame(JSON.parse(bytes.toString()), [{ ...expected, value: 'é' }])

  t.match(JSON.parse(cacheItemText({ ...entry, metadata: undefined, expiresAt: Infinity }, 'memory', NOW, '', '').toString()), { metadata: {}, ttl: 0 })
})

t.test('seconds left are never 0 but for what never expires', async (t) => {
  t.equal(secondsLeft(Infinity, NOW), 0)
  t.equal(secondsLeft(NOW + 1234.4, NOW), 1.234)
  t.equal(secondsLeft(NOW + 0.2, NOW), 0.001)
  t.equal(secondsLeft(NOW - 5, NOW), 0.001)
})

t.test('pieces join as text, or as bytes when one of them is', async (t) => {
  t.equal(joinText(['[', '1', ']']), '[1]')
  t.strictSame(joinText(['["', Buffer.from('é'), '"]']), Buffer.from('["é"]'))
  t.equal(joinText([]), '')
})
