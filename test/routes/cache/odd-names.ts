import type { FastifyInstance } from 'fastify'
import type { Test } from 'tap'
import { Api } from './api.js'

/** Every printable ASCII character, and a few of each other kind: by bytes, by direction, by plane, by combination. */
const PRINTABLE = [
  ...Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index)),
  ...'\u00a0\u00ad\u00ffĀſßİıΣςЖא؟ﷺठ漢字かナ한ไ\u0301\u200b\u200d\u200e\u202e\u2028\u2029\u2060\ue000\ufeff\ufffd\uffff',
  '\u{10000}', '\u{1F600}', '\u{1F468}\u200d\u{1F469}\u200d\u{1F467}', '\u{E0001}', '\u{10FFFF}', 'e\u0301', 'é'
]
const ODD = [
  '%', '%41', '%2F', '%252F', '%zz', '%c3', '+', ' ', '  ', 'a/b', '/', '//', '/a', 'a/', '?a=b', '#a', ':key', '::', '*', 'a*b', '[a-z]', '\\', '"', '\'', '{}',
  '__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '0', '-0', 'null', 'undefined', 'true', 'NaN', '...', '.a', 'a.',
  'user:123', '${', '<script>', '\'; DROP TABLE settings; --', 'GET:/api/posts/?a=b&c=d'
]
export const hex = (text: string): string => Buffer.from(text).toString('hex')

/** Holds one backend to what the API promises of names: of keys, namespaces and tags, whatever they are made of. */
export async function oddNames (t: Test, app: FastifyInstance, backend: string): Promise<void> {
  await t.test('every printable character works in a key, in a path and in a body', async (t) => {
    const cache = new Api(app, backend)
    const keys = [...PRINTABLE.map((character) => `a${character}b`), ...PRINTABLE.filter((character) => character !== '.'), ...ODD]
    const stored = await cache.post('/set-batch', keys.map((key) => ({ key, value: hex(key) })))
    t.equal(stored.body.successful_count, keys.length)
    for (const key of keys) {
      const { body: { cache_item: item } } = await cache.read(key)
      const exists = await cache.get(`/exists/${encodeURIComponent(key)}`)
      if (item?.value !== hex(key) || item.key !== key || exists.body.key !== key || !exists.body.exists) t.fail(hex(key))
    }
    const different = new Set(keys).size
    t.equal((await cache.get('/keys')).body.total_keys, different, 'no two keys are taken for one')
    const batch = await cache.post('/get-batch', keys)
    t.equal(batch.body.found_count, keys.length)
    t.strictSame(batch.body.results.map(({ key }) => hex(key!)), keys.map(hex))
    let deleted = 0
    for (const key of new Set(keys)) {
      const { body } = await cache.delete(`/delete/${encodeURIComponent(key)}`)
      if (body.found && body.key === key) deleted++
    }
    t.equal(deleted, different)
  })

  await t.test('the keys . and .. are reached by batches', async (t) => {
    const cache = new Api(app, backend)
    t.equal((await cache.post('/set-batch', [{ key: '.', value: 1 }, { key: '..', value: 2 }])).body.successful_count, 2)
    t.equal((await cache.post('/get-batch', ['.', '..'])).body.found_count, 2)
    t.equal((await cache.post('/delete-batch', ['.', '..'])).body.found_count, 2)
  })

  await t.test('a control character, or half a surrogate pair, is no part of a key', async (t) => {
    const cache = new Api(app, backend)
    const codes = [...Array.from({ length: 0x20 }, (_, index) => index), 0x7f, 0x80, 0x85, 0x9f]
    for (const code of codes) {
      const key = `a${String.fromCharCode(code)}b`
      const path = encodeURIComponent(key)
      const answers = await Promise.all([
        cache.set(key, 1), cache.get(`/get/${path}`), cache.get(`/exists/${path}`), cache.delete(`/delete/${path}`),
        cache.post('/touch', { key, ttl: 1 }), cache.post('/increment', { key })
      ])
      t.strictSame(answers.map(({ status }) => status), new Array<number>(6).fill(400), hex(key))
      t.match(answers[0].body, { type: '/problems/invalid-input', detail: /^key must not contain control characters/ })
    }
    for (const key of ['\ud800', 'a\udc00', '\udc00\ud800']) {
      t.equal((await cache.set(key, 1)).status, 400)
      t.match((await cache.post('/get-batch', [key])).body.results, [{ key, success: false, error: { status: 400 } }])
    }
    t.equal((await cache.get('/keys')).body.total_keys, 0)
  })

  await t.test('a key has up to 250 bytes', async (t) => {
    const cache = new Api(app, backend)
    for (const [key, status] of [['a'.repeat(250), 200], ['a'.repeat(251), 400], ['é'.repeat(125), 200], ['é'.repeat(126), 400], ['\u{1F600}'.repeat(62) + 'ab', 200],
      ['\u{1F600}'.repeat(63), 400], ['%'.repeat(250), 200], ['a'.repeat(1024), 400], ['a'.repeat(100_000), 400]] as const) {
      t.equal((await cache.set(key, 1)).status, status)
      if (key.length <= 1024) t.equal((await cache.read(key)).status, status)
      t.equal((await cache.post('/touch', { key, ttl: 1 })).status, status)
      t.equal((await cache.post('/get-batch', [key])).body.found_count, status === 200 ? 1 : 0)
    }
    t.equal((await cache.set('', 1)).status, 400)
  })

  await t.test('names that objects have already are ordinary names', async (t) => {
    const names = ['constructor', 'toString', 'hasOwnProperty', 'valueOf', 'prototype']
    for (const namespace of ['__proto__', ...names]) {
      const cache = new Api(app, backend, namespace)
      t.equal((await cache.get('/keys')).body.total_keys, 0)
      t.equal((await cache.set('constructor', 1)).status, 200)
      t.equal((await cache.read('constructor')).body.cache_item.value, 1)
      t.equal((await cache.read('toString')).body.found, false)
      t.equal((await cache.get('/stats')).body.statistics.hits, 1)
      t.equal((await cache.post('/clear')).body.deleted_count, 1)
    }
    const cache = new Api(app, backend)
    const metadata = { tags: ['__proto__', ...names], ...Object.fromEntries(names.map((name) => [name, name])) }
    t.equal((await cache.set('a', { constructor: 1 }, { metadata })).status, 200)
    t.strictSame((await cache.read('a')).body.cache_item.metadata, metadata)
    t.equal((await cache.post('/invalidate', { tags: ['valueOf'] })).body.deleted_count, 1)
    t.equal((await cache.post('/set', '{"key":"a","value":1,"metadata":{"__proto__":{"tags":["x"]}}}')).status, 400)
    t.equal((await cache.post('/set', '{"key":"a","value":{"constructor":{"prototype":{}}}}')).status, 400)
  })

  await t.test('tags hold to their rules', async (t) => {
    const cache = new Api(app, backend)
    const tags = [...PRINTABLE.slice(0, 60), 'a'.repeat(250)]
    t.equal((await cache.set('a', 1, { metadata: { tags } })).status, 200)
    t.strictSame((await cache.read('a')).body.cache_item.metadata.tags, tags)
    t.equal((await cache.post('/invalidate', { tags: [tags.at(-1)] })).body.deleted_count, 1)
    await cache.post('/set-batch', PRINTABLE.map((tag) => ({ key: hex(tag), value: 1, metadata: { tags: ['x', tag] } })))
    for (const tag of PRINTABLE.filter((character) => character !== 'x')) {
      const { body } = await cache.post('/invalidate', { tags: [tag] })
      if (body.deleted_count !== 1) t.fail(`${hex(tag)}: ${body.detail ?? body.deleted_count}`)
    }
    const many = Array.from({ length: 65 }, (_, index) => `t${index}`)
    for (const wrong of ['user', null, {}, [''], [1], ['a\n'], ['\u0000'], ['a'.repeat(251)], ['\ud800'], [['a']], many]) {
      const answer = await cache.set('a', 1, { metadata: { tags: wrong } })
      t.match(answer, { status: 400, body: { detail: /metadata\/tags/ } }, JSON.stringify(wrong).slice(0, 40))
    }
  })
}
