import type { Test } from 'tap'
import { Api } from '../api.js'

export async function batches (t: Test, api: () => Api): Promise<void> {
  await t.test('a batch stores what is good and says what is not', async (t) => {
    const cache = api()
    const answer = await cache.post('/set-batch', [
      { key: 'a', value: 1, ttl: 60 }, { key: '', value: 1 }, { key: 'b', value: 'x', data_type: 'number' }, { key: 'c' }, 7, null,
      { key: 'd', value: 1, colour: 'red' }, { key: 'e', value: 1, ttl: null }, { key: 'f\n', value: 1 }, { value: 1 },
      { key: 'g', value: 1, backend: cache.backend === 'memcached' ? 'redis' : 'memcached' }, { key: 'h', value: 1, strategy: 'mru' }, { key: 'i', value: 1, namespace: 'elsewhere' },
      { key: 'j', value: 1, data_type: 'set' }, { key: 'é', value: 'é' }
    ])
    t.equal(answer.status, 200)
    const { results, ...totals } = answer.body
    t.strictSame(totals, { success: true, message: '2 of 15 entries stored', total_items: 15, successful_count: 2, failed_count: 13 })
    t.strictSame(results.map(({ key, success }) => [key, success]), [
      ['a', true], ['', false], ['b', false], ['c', false], [null, false], [null, false], ['d', false], ['e', false], ['f\n', false], [null, false],
      ['g', false], ['h', false], ['i', false], ['j', false], ['é', true]
    ])
    t.match(results[0]!.result, { success: true, key: 'a', ttl: 60, backend: cache.backend, strategy: 'lru', version: /^[0-9a-z]+$/ })
    t.strictSame(results[2]!.error, {
      type: '/problems/invalid-input', title: 'Invalid input', status: 400, detail: 'value must be a finite number, since its data_type is "number".'
    })
    for (const [index, [status, detail]] of ([
      [1, [400, /entry\/key/]], [3, [400, /value/]], [4, [400, /object/]], [5, [400, /object/]], [6, [400, /entry\/colour/]], [7, [400, /entry\/ttl/]],
      [8, [400, /control/]], [9, [400, /key/]], [10, [400, /backend/]], [11, [400, /strategy/]], [12, [400, /namespace/]], [13, [400, /data_type must be one of/]]
    ] as Array<[number, [number, RegExp]]>)) {
      t.match(results[index]!.error, { status, detail }, `entry ${index}`)
    }
    t.equal((await cache.read('é')).body.cache_item.value, 'é')
  })

  await t.test('an entry of a batch may name its backend', async (t) => {
    const cache = new Api(api().app, '', 'default')
    const response = await cache.app.inject({ method: 'POST', url: '/api/cache/set-batch', payload: [{ key: 'a', value: 1, backend: 'database' }] })
    t.match(response.json(), { results: [{ key: 'a', success: true, result: { backend: 'database' } }] })
  })

  await t.test('of two entries with one key the later stays', async (t) => {
    const cache = api()
    await cache.post('/set-batch', [{ key: 'a', value: 1 }, { key: 'a', value: 2 }])
    t.equal((await cache.read('a')).body.cache_item.value, 2)
  })

  await t.test('a batch of keys is answered in its order', async (t) => {
    const cache = api()
    await cache.post('/set-batch', [{ key: 'a', value: 1 }, { key: 'b', value: 'é'.repeat(20_000) }, { key: '__proto__', value: [2] }])
    const { status, body: { results, ...totals } } = await cache.post('/get-batch', ['b', 'a', 'c', 'a', '__proto__', 'constructor', '', 5, 'a\u0000'])
    t.equal(status, 200)
    t.strictSame(totals, { success: true, message: '4 of 9 keys found', total_keys: 9, found_count: 4, not_found_count: 5 })
    t.strictSame(results.map(({ key }) => key), ['b', 'a', 'c', 'a', '__proto__', 'constructor', '', null, 'a\u0000'])
    t.match(results[0], { success: true, result: { found: true, cache_item: { key: 'b', value: 'é'.repeat(20_000), metadata: {} } } })
    t.match(results[1]!.result.cache_item, { key: 'a', value: 1, access_count: 1, backend: cache.backend })
    t.strictSame(results[2], { key: 'c', success: true, result: { found: false } })
    t.strictSame(results[4]!.result.cache_item.value, [2])
    t.match(results[6], { key: '', success: false, error: { status: 400 } })
    t.match(results[7], { key: null, success: false, error: { status: 400 } })
    t.strictSame((await cache.post('/get-batch', [])).body, {
      success: true, message: '0 of 0 keys found', total_keys: 0, found_count: 0, not_found_count: 0, results: []
    })
  })

  await t.test('a batch of keys is deleted', async (t) => {
    const cache = api()
    await cache.post('/set-batch', [{ key: 'a', value: 1 }, { key: 'b', value: 2 }, { key: 'c', value: 3 }])
    const answer = await cache.post('/delete-batch', ['a', 'x', 'c', 'a', ''])
    t.equal(answer.status, 200)
    t.match(answer.body, {
      success: true,
      message: '2 of 5 keys deleted',
      total_keys: 5,
      found_count: 2,
      not_found_count: 3,
      results: [
        { key: 'a', success: true, result: { found: true } }, { key: 'x', success: true, result: { found: false } },
        { key: 'c', success: true, result: { found: true } }, { key: 'a', success: true, result: { found: false } },
        { key: '', success: false, error: { status: 400 } }
      ]
    })
    t.equal((await cache.get('/keys')).body.total_keys, 1)
  })

  await t.test('a batch holds up to 1000', async (t) => {
    const cache = api()
    const keys = Array.from({ length: 1001 }, (_, index) => `k${index}`)
    const stored = await cache.post('/set-batch', keys.slice(1).map((key) => ({ key, value: key })))
    t.equal(stored.body.successful_count, 1000)
    const read = await cache.post('/get-batch', keys.slice(1))
    t.equal(read.body.found_count, 1000)
    t.ok(read.body.results.every(({ key, result }) => result.cache_item.value === key))
    for (const path of ['/get-batch', '/delete-batch']) t.equal((await cache.post(path, keys)).status, 400, path)
    t.equal((await cache.post('/set-batch', keys.map((key) => ({ key, value: 1 })))).status, 400)
    t.equal((await cache.post('/warm', Object.fromEntries(keys.map((key) => [key, 1])))).status, 400)
    t.equal((await cache.post('/delete-batch', keys.slice(1))).body.found_count, 1000)
  })

  await t.test('warm stores values by key', async (t) => {
    const cache = api()
    const answer = await cache.post('/warm', { 'config:app': { version: '1.0.0' }, n: 1, constructor: 'x', 'a\nb': 1 }, { ttl: 50 })
    t.equal(answer.status, 200)
    t.match(answer.body, { success: true, message: '3 of 4 entries stored', total_items: 4, successful_count: 3, failed_count: 1 })
    t.match(answer.body.results, [
      { key: 'config:app', success: true, result: { key: 'config:app', ttl: 50 } }, { key: 'n', success: true }, { key: 'constructor', success: true },
      { key: 'a\nb', success: false, error: { status: 400 } }
    ])
    t.match((await cache.read('config:app')).body.cache_item, { data_type: 'json', value: { version: '1.0.0' } })
    t.match((await cache.read('n')).body.cache_item, { data_type: 'number', value: 1 })
    t.equal((await cache.post('/warm', { a: 1 })).body.results[0]!.result.ttl, 3600)
    t.equal((await cache.post('/warm', '{"__proto__":1}')).status, 400)
  })
}
