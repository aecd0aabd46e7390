import type { Test } from 'tap'
import type { Api } from '../api.js'

export async function statistics (t: Test, api: () => Api, backend: string): Promise<void> {
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
