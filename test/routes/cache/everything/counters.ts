import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function counters (t: Test, api: () => Api): Promise<void> {
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
