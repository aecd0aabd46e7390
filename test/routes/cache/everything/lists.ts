import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function lists (t: Test, api: () => Api): Promise<void> {
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
