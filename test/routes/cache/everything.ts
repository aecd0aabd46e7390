import { setImmediate } from 'node:timers/promises'
import type { Test } from 'tap'
import type { FastifyInstance } from 'fastify'
import { Api } from './api.js'

/** Holds one backend to all that the API promises, which is the same on each. */
export async function everything (t: Test, app: FastifyInstance, backend: string): Promise<void> {
  const api = () => new Api(app, backend)
  await entries(t, api)
  await conditions(t, api)
  await counters(t, api)
  await batches(t, api)
  await lists(t, api)
  await invalidations(t, api)
  await statistics(t, api, backend)
}

async function entries (t: Test, api: () => Api): Promise<void> {
  await t.test('an entry is stored and read as it was given', async (t) => {
    const cache = api()
    const metadata = { tags: ['user', 'profile'], source: 'database', nested: { a: [null, 1.5, 'é'] } }
    const stored = await cache.post('/set', { key: 'user:123', value: { name: 'John Doe' }, data_type: 'json', ttl: 3600, strategy: 'lru', metadata })
    t.equal(stored.status, 200)
    const { size, version, ...rest } = stored.body
    t.strictSame(rest, { success: true, message: 'Entry stored', key: 'user:123', ttl: 3600, backend: cache.backend, strategy: 'lru' })
    t.match(version, /^[0-9a-z]+$/)
    t.ok(size > 100 && Number.isInteger(size))
    t.equal(stored.headers['etag'], `"${version}"`)

    const read = await cache.read('user:123')
    t.equal(read.status, 200)
    t.equal(read.headers['content-type'], 'application/json; charset=utf-8')
    const { ttl, created_at: createdAt, accessed_at: accessedAt, ...item } = read.body.cache_item
    t.strictSame({ ...read.body, cache_item: item }, {
      success: true,
      found: true,
      cache_item: {
        key: 'user:123', value: { name: 'John Doe' }, data_type: 'json', access_count: 1, size, metadata, backend: cache.backend, strategy: 'lru', version
      }
    })
    t.ok(ttl > 3590 && ttl <= 3600)
    for (const time of [createdAt, accessedAt]) t.match(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    t.ok(createdAt <= accessedAt)
    t.equal((await cache.read('user:123')).body.cache_item.access_count, 2)
  })

  await t.test('the members of an answer stand in the order of the document', async (t) => {
    const cache = api()
    const stored = await cache.set('k', 1)
    t.strictSame(Object.keys(stored.body), ['success', 'message', 'key', 'size', 'ttl', 'backend', 'strategy', 'version'])
    t.strictSame(Object.keys((await cache.read('k')).body.cache_item), [
      'key', 'value', 'data_type', 'ttl', 'created_at', 'accessed_at', 'access_count', 'size', 'metadata', 'backend', 'strategy', 'version'
    ])
  })

  await t.test('every kind of value comes back as it went in', async (t) => {
    const cache = api()
    const values: Array<[dataType: string, value: unknown]> = [
      ['string', ''], ['string', 'text'], ['string', 'é漢\u{1F600}\u2028\u0000"\\'], ['string', 'x'.repeat(100_000)], ['string', 'é'.repeat(50_000)],
      ['number', 0], ['number', -1.5e300], ['boolean', false], ['boolean', true], ['json', null], ['json', { a: [1, { b: null }] }], ['json', [1]],
      ['json', 'text'], ['list', []], ['list', [1, 'é', null]], ['dictionary', {}], ['dictionary', { constructor: 1, '': 2 }],
      ['binary', ''], ['binary', Buffer.from([0, 255, 10]).toString('base64')]
    ]
    for (const [dataType, value] of values) {
      const name = `${dataType} ${Buffer.from(JSON.stringify(value)).toString('base64').slice(0, 40)}`
      t.equal((await cache.set('k', value, { data_type: dataType })).status, 200, name)
      const { cache_item: item } = (await cache.read('k')).body
      t.strictSame([item.data_type, item.value, item.metadata], [dataType, value, {}], name)
    }
  })

  await t.test('a value without data type gets the one it has', async (t) => {
    const cache = api()
    for (const [value, dataType] of [['a', 'string'], [1, 'number'], [true, 'boolean'], [null, 'json'], [[], 'json'], [{}, 'json']]) {
      await cache.set('k', value)
      t.equal((await cache.read('k')).body.cache_item.data_type, dataType)
    }
  })

  await t.test('a miss is an answer, too', async (t) => {
    const cache = api()
    const read = await cache.read('a/"é')
    t.equal(read.status, 200)
    t.strictSame(read.body, { success: true, found: false, key: 'a/"é', message: 'No such entry' })
    t.equal(read.headers['cache-status'], 'larder; fwd=miss')
    t.notOk('etag' in read.headers)
  })

  await t.test('a TTL is seconds; 0 is for ever; absent is the default', async (t) => {
    const cache = api()
    t.equal((await cache.set('a', 1, { ttl: 0 })).body.ttl, 0)
    t.equal((await cache.read('a')).body.cache_item.ttl, 0)
    t.equal((await cache.read('a')).headers['cache-status'], 'larder; hit')
    t.equal((await cache.set('a', 1)).body.ttl, 3600)
    t.equal((await cache.set('a', 1, { ttl: 1.25 })).body.ttl, 1.25)
    t.equal((await cache.set('a', 1, { ttl: 3_000_000 })).body.ttl, 3_000_000, 'more than a timer can count')
    t.equal((await cache.read('a')).body.found, true)
  })

  await t.test('an entry is gone when its time is over', async (t) => {
    const cache = api()
    await cache.set('a', 1, { ttl: 0.02 })
    const end = Date.now() + 5000
    // The clock stands still within a turn of the event loop.
    while ((await cache.read('a')).body.found && Date.now() < end) await setImmediate()
    t.equal((await cache.read('a')).body.found, false)
    t.equal((await cache.get('/exists/a')).body.exists, false)
    t.equal((await cache.delete('/delete/a')).body.found, false)
  })

  await t.test('delete says whether there was something', async (t) => {
    const cache = api()
    await cache.set('a b', 1)
    const deleted = await cache.delete('/delete/a%20b')
    t.equal(deleted.status, 200)
    t.strictSame(deleted.body, { success: true, found: true, message: 'Entry deleted', key: 'a b' })
    t.strictSame((await cache.delete('/delete/a%20b')).body, { success: true, found: false, message: 'No such entry', key: 'a b' })
    t.equal((await cache.read('a b')).body.found, false)
  })

  await t.test('exists looks without touching', async (t) => {
    const cache = api()
    await cache.set('a', 1)
    for (let round = 0; round < 3; round++) t.strictSame((await cache.get('/exists/a')).body, { success: true, exists: true, key: 'a' })
    t.strictSame((await cache.get('/exists/b')).body, { success: true, exists: false, key: 'b' })
    t.equal((await cache.read('a')).body.cache_item.access_count, 1)
  })

  await t.test('touch changes the TTL alone', async (t) => {
    const cache = api()
    const { body: { version } } = await cache.set('a', { b: 1 }, { ttl: 10 })
    t.strictSame((await cache.post('/touch', { key: 'a', ttl: 0 })).body, { success: true, found: true, message: 'TTL set', key: 'a', ttl: 0 })
    t.match((await cache.read('a')).body.cache_item, { ttl: 0, value: { b: 1 }, version })
    await cache.post('/touch', { key: 'a', ttl: 99.5 })
    const { ttl } = (await cache.read('a')).body.cache_item
    t.ok(ttl > 98 && ttl <= 99.5)
    const absent = await cache.post('/touch', { key: 'b', ttl: 5 })
    t.equal(absent.status, 200)
    t.strictSame(absent.body, { success: true, found: false, message: 'No such entry', key: 'b', ttl: 5 })
  })

  await t.test('namespaces keep their entries apart', async (t) => {
    const [one, other] = [api(), api()]
    await one.set('a', 1)
    await other.set('a', 2)
    t.equal((await one.read('a')).body.cache_item.value, 1)
    t.equal((await other.read('a')).body.cache_item.value, 2)
    await one.post('/clear')
    t.equal((await one.read('a')).body.found, false)
    t.equal((await other.read('a')).body.found, true)
  })
}

async function conditions (t: Test, api: () => Api): Promise<void> {
  await t.test('a read that has this version already is answered with 304', async (t) => {
    const cache = api()
    const { body: { version } } = await cache.set('a', 'é', { ttl: 100 })
    const read = await cache.read('a')
    t.equal(read.headers['etag'], `"${version}"`)
    t.equal(read.headers['age'], '0')
    t.equal(read.headers['cache-control'], 'no-cache')
    t.match(read.headers['cache-status'], /^larder; hit; ttl=(99|100)$/)
    for (const tag of [`"${version}"`, `W/"${version}"`, `"x", "${version}"`, '*']) {
      const again = await cache.read('a', { 'if-none-match': tag })
      t.strictSame([again.status, again.text, again.headers['etag']], [304, '', `"${version}"`], tag)
      t.match(again.headers['cache-status'], /^larder; hit; ttl=(99|100)$/)
    }
    t.equal((await cache.read('a', { 'if-none-match': '"other"' })).status, 200)
    t.equal((await cache.read('b', { 'if-none-match': '*' })).status, 200, 'a miss is not "not modified"')
  })

  await t.test('If-None-Match: * stores only where nothing is', async (t) => {
    const cache = api()
    t.equal((await cache.set('a', 1, {}, { 'if-none-match': '*' })).status, 200)
    const refused = await cache.set('a', 2, {}, { 'if-none-match': '*' })
    t.equal(refused.status, 412)
    t.equal(refused.headers['content-type'], 'application/problem+json; charset=utf-8')
    t.equal(refused.body.type, '/problems/precondition-failed')
    t.equal((await cache.read('a')).body.cache_item.value, 1)
  })

  await t.test('If-Match stores only over what it names', async (t) => {
    const cache = api()
    t.equal((await cache.set('a', 1, {}, { 'if-match': '*' })).status, 412)
    const first = (await cache.set('a', 1)).body.version
    t.equal((await cache.set('a', 2, {}, { 'if-match': '*' })).status, 200)
    t.equal((await cache.set('a', 3, {}, { 'if-match': `"${first}"` })).status, 412)
    const second = (await cache.read('a')).body.cache_item.version
    t.not(first, second)
    t.equal((await cache.set('a', 3, {}, { 'if-match': `W/"${second}"` })).status, 412, 'weak tags never match a write')
    t.equal((await cache.set('a', 3, {}, { 'if-match': `"x", "${second}"` })).status, 200)
    t.equal((await cache.set('a', 4, {}, { 'if-match': '"NaN"' })).status, 412)
    t.equal((await cache.set('a', 4, {}, { 'if-match': 'unquoted' })).status, 400)
    t.equal((await cache.read('a')).body.cache_item.value, 3)
  })

  await t.test('delete takes the same conditions', async (t) => {
    const cache = api()
    const { body: { version } } = await cache.set('a', 1)
    t.equal((await cache.delete('/delete/a', {}, { 'if-match': '"0"' })).status, 412)
    t.equal((await cache.delete('/delete/a', {}, { 'if-none-match': '*' })).status, 412)
    t.match(await cache.delete('/delete/a', {}, { 'if-match': `"${version}"` }), { status: 200, body: { found: true } })
    t.equal((await cache.delete('/delete/a', {}, { 'if-match': `"${version}"` })).status, 412)
    t.equal((await cache.delete('/delete/a', {}, { 'if-match': '*' })).status, 412)
    t.match(await cache.delete('/delete/a', {}, { 'if-none-match': '*' }), { status: 200, body: { found: false } })
  })

  await t.test('of many writers over one version, one succeeds', async (t) => {
    const cache = api()
    const { body: { version } } = await cache.set('a', 0)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, index) => cache.set('a', index, {}, { 'if-match': `"${version}"` })))
    t.strictSame(answers.map(({ status }) => status).sort(), [200, ...new Array<number>(19).fill(412)])
    const created = await Promise.all(Array.from({ length: 20 }, (_, index) => cache.set('b', index, {}, { 'if-none-match': '*' })))
    t.equal(created.filter(({ status }) => status === 200).length, 1)
  })
}

async function counters (t: Test, api: () => Api): Promise<void> {
  await t.test('increment adds, from 0 where nothing is', async (t) => {
    const cache = api()
    const first = await cache.post('/increment', { key: 'n' })
    t.equal(first.status, 200)
    const { version, ttl, ...rest } = first.body
    t.strictSame(rest, { success: true, message: 'Counter incremented', key: 'n', value: 1 })
    t.equal(first.headers['etag'], `"${version}"`)
    t.ok(ttl > 3590 && ttl <= 3600)
    t.equal((await cache.post('/increment', { key: 'n', by: -2.5 })).body.value, -1.5)
    t.match((await cache.read('n')).body.cache_item, { value: -1.5, data_type: 'number' })
    await cache.set('n', 10)
    t.equal((await cache.post('/increment', { key: 'n', by: 5 })).body.value, 15)
  })

  await t.test('a TTL given with increment applies, another stays', async (t) => {
    const cache = api()
    await cache.post('/increment', { key: 'n', ttl: 10 })
    const left = (await cache.post('/increment', { key: 'n' })).body.ttl
    // A clock is known to within some milliseconds.
    t.ok(left > 9 && left <= 10.05, String(left))
    t.equal((await cache.post('/increment', { key: 'n', ttl: 0 })).body.ttl, 0)
  })

  await t.test('fifty increments at once all count', async (t) => {
    const cache = api()
    const answers = await Promise.all(Array.from({ length: 50 }, () => cache.post('/increment', { key: 'n' })))
    t.strictSame(answers.map(({ body }) => body.value as number).sort((a, b) => a - b), Array.from({ length: 50 }, (_, index) => index + 1))
    t.equal((await cache.read('n')).body.cache_item.value, 50)
  })

  await t.test('what is no number cannot be counted up, nor past what a number holds', async (t) => {
    const cache = api()
    for (const value of ['1', null, [1], true]) {
      await cache.set('n', value)
      t.match(await cache.post('/increment', { key: 'n' }), { status: 409, body: { type: '/problems/wrong-type' } }, JSON.stringify(value))
      t.strictSame((await cache.read('n')).body.cache_item.value, value, 'and stays as it is')
    }
    await cache.set('n', 1e308)
    t.equal((await cache.post('/increment', { key: 'n', by: 1e308 })).status, 409)
  })
}

async function batches (t: Test, api: () => Api): Promise<void> {
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

async function lists (t: Test, api: () => Api): Promise<void> {
  await t.test('keys are listed by pattern, without their values', async (t) => {
    const cache = api()
    await cache.post('/set-batch', ['user:1', 'user:2', 'user:10', 'temp:1'].map((key) => ({ key, value: key, ttl: 0 })))
    await cache.read('user:1')
    const { status, body } = await cache.get('/keys', { pattern: 'user:?' })
    t.equal(status, 200)
    t.match(body, { success: true, total_keys: 2, limit: 100, offset: 0 })
    t.notOk('next_cursor' in body)
    const keys = body.keys.sort((a, b) => a.key < b.key ? -1 : 1)
    t.strictSame(Object.keys(keys[0]!), ['key', 'data_type', 'size', 'ttl', 'created_at', 'access_count', 'last_accessed', 'strategy', 'version'])
    t.match(keys, [{ key: 'user:1', data_type: 'string', ttl: 0 }, { key: 'user:2', access_count: 0 }])
    t.equal((await cache.get('/keys')).body.total_keys, 4)
    t.equal((await cache.get('/keys', { pattern: 'user:*' })).body.total_keys, 3)
    t.equal((await cache.get('/keys', { pattern: 'user:[12]' })).body.total_keys, 2)
    t.equal((await cache.get('/keys', { pattern: 'user:\\*' })).body.total_keys, 0)
  })

  await t.test('pages follow each other, by cursor and by offset', async (t) => {
    const cache = api()
    const all = Array.from({ length: 25 }, (_, index) => `é&k:${index}`)
    await cache.post('/set-batch', all.map((key) => ({ key, value: 1 })))
    const seen: string[] = []
    let url: string | undefined = `/api/cache/keys?pattern=${encodeURIComponent('é&k:*')}&limit=10&backend=${cache.backend}&namespace=${cache.namespace}`
    let pages = 0
    while (url !== undefined && pages < 10) {
      const response = await cache.app.inject(url)
      const page = response.json<{ keys: Array<{ key: string }>, next_cursor?: string, total_keys: number }>()
      t.equal(page.total_keys, 25)
      seen.push(...page.keys.map(({ key }) => key))
      const link = response.headers['link'] as string | undefined
      url = link === undefined ? undefined : /^<(\/api\/cache\/keys\?[^>]+)>; rel="next"$/.exec(link)?.[1]
      if (page.next_cursor !== undefined) t.equal(new URL(url!, 'http://localhost').searchParams.get('cursor'), page.next_cursor)
      pages++
    }
    t.equal(pages, 3)
    t.strictSame(seen.sort(), [...all].sort())

    const byOffset: string[] = []
    for (const offset of [0, 10, 20]) {
      const { body } = await cache.get('/keys', { limit: 10, offset })
      t.equal(body.offset, offset)
      byOffset.push(...body.keys.map(({ key }) => key))
    }
    t.strictSame(byOffset.sort(), [...all].sort())
    t.strictSame((await cache.get('/keys', { offset: 1000 })).body.keys, [])
  })

  await t.test('a page asks for what there can be', async (t) => {
    const cache = api()
    const wrong = [{ limit: 0 }, { limit: 1001 }, { limit: 'x' }, { limit: 1.5 }, { offset: -1 }, { cursor: '' }, { cursor: '?!' }, { cursor: 'eA', offset: 1 },
      { pattern: '' }, { pattern: 'x'.repeat(251) }, { pattern: 'é'.repeat(126) }]
    for (const query of wrong) t.equal((await cache.get('/keys', query as unknown as Record<string, string>)).status, 400, JSON.stringify(query).slice(0, 40))
    t.equal((await cache.get('/keys', { limit: 1000, pattern: 'x'.repeat(250) })).status, 200)
  })
}

async function invalidations (t: Test, api: () => Api): Promise<void> {
  const fill = async (cache: Api) => {
    await cache.post('/set-batch', [
      { key: 'user:1', value: 1, metadata: { tags: ['user', 'admin'] } }, { key: 'user:2', value: 2, metadata: { tags: ['user'] } },
      { key: 'temp:1', value: 3 }, { key: 'post:1', value: 4, metadata: { tags: ['__proto__'] } }
    ])
  }
  const left = async (cache: Api) => (await cache.get('/keys')).body.keys.map(({ key }) => key).sort()

  await t.test('tags and patterns drop what they concern', async (t) => {
    const cache = api()
    await fill(cache)
    const answer = await cache.post('/invalidate', { tags: ['admin', 'profile'], pattern: 'temp:*' })
    t.equal(answer.status, 200)
    t.strictSame(answer.body, {
      success: true, message: '2 entries invalidated', deleted_count: 2, tags: ['admin', 'profile'], pattern: 'temp:*'
    })
    t.strictSame(await left(cache), ['post:1', 'user:2'])
    t.equal((await cache.read('user:1')).body.found, false)
    t.strictSame((await cache.post('/invalidate', { tags: ['__proto__'] })).body, {
      success: true, message: '1 entry invalidated', deleted_count: 1, tags: ['__proto__'], pattern: null
    })
    t.match((await cache.post('/invalidate', { pattern: '*' })).body, { deleted_count: 1, tags: [], pattern: '*' })
    t.strictSame(await left(cache), [])
    await cache.set('user:1', 'new', { metadata: { tags: ['admin'] } })
    t.equal((await cache.read('user:1')).body.cache_item.value, 'new', 'what is written afterwards stays')
  })

  await t.test('clear drops everything, or what matches', async (t) => {
    const cache = api()
    await fill(cache)
    const cleared = await cache.post('/clear', undefined, { pattern: 'user:*' })
    t.equal(cleared.status, 200)
    t.strictSame(cleared.body, { success: true, message: '2 entries deleted', deleted_count: 2, pattern: 'user:*' })
    t.strictSame(await left(cache), ['post:1', 'temp:1'])
    t.strictSame((await cache.post('/clear')).body, { success: true, message: '2 entries deleted', deleted_count: 2, pattern: null })
    t.strictSame((await cache.post('/clear', {})).body, { success: true, message: '0 entries deleted', deleted_count: 0, pattern: null })
  })

  await t.test('neither tags nor pattern is a fault, and so is a body for clear', async (t) => {
    const cache = api()
    for (const body of [{}, { tags: [] }, { tags: 'user' }, { tags: [''] }, { tags: [1] }, { pattern: '' }, { pattern: null }, { tag: ['a'] }, { tags: ['a\n'] }, []]) {
      t.equal((await cache.post('/invalidate', body)).status, 400, JSON.stringify(body))
    }
    t.equal((await cache.post('/clear', { pattern: 'user:*' })).status, 400)
    t.equal((await cache.post('/clear', 'null')).status, 200)
  })
}

async function statistics (t: Test, api: () => Api, backend: string): Promise<void> {
  await t.test('statistics count reads, in percent', async (t) => {
    const cache = api()
    t.match((await cache.get('/stats')).body.statistics, { total_items: 0, hit_rate: 0, miss_rate: 0 })
    await cache.set('a', 1)
    for (const key of ['a', 'a', 'a', 'b']) await cache.read(key)
    const { status, body } = await cache.get('/stats')
    t.equal(status, 200)
    t.match(body, {
      success: true,
      statistics: { total_items: 1, hit_rate: 75, miss_rate: 25, eviction_count: Number, backend, strategy: 'lru', hits: 3, misses: 1, sets: 1 },
      config: { backend, strategy: 'lru', default_ttl: 3600 },
      raw_stats: { hits: 3, misses: 1 }
    })
    t.ok(body.statistics.total_memory_usage > 100)
    const all = await api().app.inject(`/api/cache/stats?backend=${backend}`)
    t.ok(all.json<{ statistics: { hits: number } }>().statistics.hits > 3, 'without a namespace, of all')
  })
}
