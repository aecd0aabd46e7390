import { setImmediate, setTimeout } from 'node:timers/promises'
import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function entries (t: Test, api: () => Api): Promise<void> {
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
    // What the backend decides by its own clock may come a little later.
    await setTimeout(50)
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
