import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function invalidations (t: Test, api: () => Api): Promise<void> {
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

  await t.test('a dry run says what would go, and nothing goes', async (t) => {
    const cache = api()
    await fill(cache)
    const dry = async (path: string, body?: object, query = {}) => (await cache.post(path, body, { dry_run: 'true', ...query })).body
    const named = ({ preview }: { preview: { sample: { key: string }[] } }) => preview.sample.map(({ key }) => key).sort()

    const byBoth = await dry('/invalidate', { tags: ['admin', 'profile'], pattern: 'temp:*' })
    t.match(byBoth, { success: true, message: '2 entries would be invalidated', deleted_count: 0, tags: ['admin', 'profile'], pattern: 'temp:*' })
    t.match(byBoth.preview, { would_delete: 2, is_complete: true })
    t.strictSame(byBoth.preview.sample.sort((a, b) => a.key < b.key ? -1 : 1), [
      { backend: cache.backend, key: 'temp:1', tags: [] }, { backend: cache.backend, key: 'user:1', tags: ['user', 'admin'] }
    ])
    t.strictSame(named(await dry('/invalidate', { tags: ['user'], pattern: 'user:1' })), ['user:1', 'user:2'], 'what is meant twice counts once')
    t.match(await dry('/invalidate', { tags: ['__proto__'] }), { message: '1 entry would be invalidated', preview: { would_delete: 1 } })
    t.match(await dry('/invalidate', { tags: ['nobody'] }), { preview: { would_delete: 0, is_complete: true, sample: [] } })
    t.match(await dry('/clear'), { message: '4 entries would be deleted', deleted_count: 0, pattern: null, preview: { would_delete: 4 } })
    t.strictSame(named(await dry('/clear', undefined, { pattern: 'user:*' })), ['user:1', 'user:2'])
    t.strictSame(await left(cache), ['post:1', 'temp:1', 'user:1', 'user:2'])

    await cache.post('/set-batch', Array.from({ length: 30 }, (_, index) => ({ key: `many:${index}`, value: 1 })))
    const { preview } = await dry('/invalidate', { pattern: 'many:*' })
    t.strictSame([preview.would_delete, preview.sample.length], [30, 20])
    t.equal((await cache.post('/invalidate', { pattern: 'many:*' })).body.deleted_count, 30)
    t.equal((await dry('/invalidate', { pattern: 'many:*' })).preview.would_delete, 0, 'what fell to an invalidation would not go again')
    t.equal((await cache.post('/invalidate', {}, { dry_run: 'true' })).status, 400)
  })

  await t.test('a soft one leaves what has a grace as stale: a miss, which one caller renews while the others take the old value', async (t) => {
    const cache = api()
    const fill = async () => {
      for (const key of ['graced:1', 'graced:2']) await cache.set(key, 'old', { ttl: 600, grace: 60, metadata: { tags: ['soft'] } })
      await cache.set('graceless', 'old', { metadata: { tags: ['soft'] } })
      await cache.set('other', 'old', { grace: 60 })
    }
    const leased = async (key: string) => (await cache.get(`/get/${key}`, { lease: 30 })).body
    await fill()
    t.match((await cache.read('graced:1')).body.cache_item, { grace: 60 })
    t.notOk('grace' in (await cache.read('graceless')).body.cache_item)
    const soft = { tags: ['soft'], mode: 'soft' }
    const dry = (await cache.post('/invalidate', soft, { dry_run: 'true' })).body
    t.match(dry, { message: '3 entries would be invalidated', deleted_count: 0, stale_count: 0, preview: { would_delete: 1, would_be_stale: 2, is_complete: true } })
    t.strictSame(await left(cache), ['graced:1', 'graced:2', 'graceless', 'other'])

    t.strictSame((await cache.post('/invalidate', soft)).body, {
      success: true, message: '3 entries invalidated, 2 of them kept as stale', deleted_count: 1, stale_count: 2, tags: ['soft'], pattern: null
    })
    for (const key of ['graced:1', 'graced:2', 'graceless']) t.match((await cache.read(key)).body, { found: false }, key)
    t.strictSame(await left(cache), ['other'])
    t.match((await cache.get('/exists/graced:1')).body, { exists: false })
    t.match((await cache.post('/get-batch', ['graced:1', 'other'])).body, { found_count: 1 })
    t.match((await cache.post('/invalidate', soft, { dry_run: 'true' })).body.preview, { would_delete: 0, would_be_stale: 0 })
    t.match((await cache.post('/invalidate', soft)).body, { deleted_count: 0, stale_count: 0 }, 'what is stale does not count again')
    t.match((await cache.post('/invalidate', { pattern: '*', mode: 'soft' })).body, { deleted_count: 0, stale_count: 1 }, 'nor under another name')

    const { lease } = await leased('graced:1')
    t.ok(lease, 'the first is to renew it')
    t.match(await leased('graced:1'), { found: true, stale: true, cache_item: { value: 'old', grace: Number } })
    t.match((await cache.get('/get/graced:1', { lease: 30 })).headers['cache-status'], /hit; ttl=(?:-|0)/)
    t.equal((await cache.set('graced:1', 'new', { ttl: 600, grace: 60, metadata: { tags: ['soft'] }, lease: lease.token })).status, 200)
    t.match((await cache.read('graced:1')).body, { found: true, cache_item: { value: 'new' } })

    const begun = await leased('graced:2')
    await cache.post('/invalidate', { pattern: 'graced:2', mode: 'soft' })
    t.equal((await cache.set('graced:2', 'too old', { lease: begun.lease.token })).status, 409, 'what was begun before an invalidation is not kept')
    t.ok((await leased('graceless')).lease)
    t.match(await cache.set('graced:2', 'anew', {}, { 'if-none-match': '*' }), { status: 200 }, 'a stale entry is none to a condition')

    await fill()
    t.match((await cache.post('/invalidate', soft)).body, { deleted_count: 1, stale_count: 2 })
    t.match((await cache.post('/invalidate', { tags: ['soft'] })).body, { deleted_count: 0 }, 'a hard one takes the stale ones too, which were no hits any more')
    t.ok((await leased('graced:1')).lease)
    t.notOk('stale' in await leased('other'))
    t.equal((await cache.post('/invalidate', { tags: ['soft'], mode: 'purge' })).status, 400)
    for (const grace of [-1, '60', null]) t.equal((await cache.set('k', 1, { grace })).status, 400)
  })

  await t.test('one key falls softly by itself, whatever is in its name; a hard deletion takes no mode', async (t) => {
    const cache = api()
    const keys = ['user:1', 'user:10', 'a*b', 'axb', 'c?[d]\\e', 'c?dxe', 'f/g h']
    for (const key of keys) await cache.set(key, key, { grace: 60 })
    for (const key of ['user:1', 'a*b', 'c?[d]\\e', 'f/g h']) {
      t.match((await cache.post('/invalidate', { pattern: key.replace(/[*?[\\]/g, '\\$&'), mode: 'soft' })).body, { deleted_count: 0, stale_count: 1 }, key)
      t.match((await cache.read(key)).body, { found: false })
      t.ok((await cache.get(`/get/${encodeURIComponent(key)}`, { lease: 30 })).body.lease)
      t.match((await cache.get(`/get/${encodeURIComponent(key)}`, { lease: 30 })).body, { stale: true, cache_item: { value: key } })
    }
    t.strictSame(await left(cache), ['axb', 'c?dxe', 'user:10'])
    for (const answer of [await cache.delete('/delete/axb', { mode: 'soft' }), await cache.post('/clear', undefined, { mode: 'soft' }), await cache.post('/delete-batch', ['axb'], { mode: 'soft' })]) {
      t.match(answer, { status: 400, body: { detail: /^query\/mode is not known here/, errors: [{ path: 'query/mode' }] } })
    }
    for (const answer of [await cache.post('/clear', { mode: 'soft' }), await cache.post('/invalidate', { pattern: 'axb' }, { mode: 'soft' })]) t.equal(answer.status, 400)
    t.strictSame(await left(cache), ['axb', 'c?dxe', 'user:10'])
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
