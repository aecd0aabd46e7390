import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function conditions (t: Test, api: () => Api): Promise<void> {
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
