import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/cache.js'
import type {} from '../plugins/deadlines.js'
import type {} from '../plugins/together.js'
import { CacheAsideStatistics, CacheClearedReply, CachePerformance } from '../schemas/cache-aside.js'
import { problems, ref } from '../schemas/common.js'
import { comparePerformance } from '../services/cache-performance.js'
import { ProductService } from '../services/products.js'
import { sampleKeys } from '../services/sample-keys.js'
import { SWEEP } from './cache/costs.js'

const tags = ['Products']

/** The cache in front of the sample resources, as a whole. Prefix: `/cache`. */
const cacheAside: FastifyPluginAsyncTypebox = async (app) => {
  const { cache, configStore, together } = app
  const service = new ProductService(app.database, app.outbox)

  app.get('/stats', {
    config: { scope: 'cache:read', touches: 'everything' },
    schema: {
      operationId: 'getCacheAsideStatistics',
      summary: 'What the cache of the sample resources does',
      tags,
      response: { 200: ref(CacheAsideStatistics), ...problems(503) }
    }
  }, async (_request, reply) => {
    const { statistics: { hits, misses, stale, coalesced, items, bytes } } = await together.statistics(cache, [cache.namespace], reply)
    const total = hits + misses
    reply.header('cache-control', 'no-store')
    return {
      hits,
      misses,
      hit_rate: total === 0 ? 0 : Number((hits / total * 100).toFixed(2)),
      total_requests: total,
      stale,
      coalesced,
      cached_keys: items,
      memory_usage: bytes
    }
  })

  app.post('/clear', {
    config: { scope: 'cache:delete', priority: 'invalidation', touches: 'everything', audit: 'cache.clear', rateLimit: { cost: SWEEP } },
    schema: {
      operationId: 'clearCacheAside',
      summary: 'Clear the cache of the sample resources',
      tags,
      response: { 200: ref(CacheClearedReply), ...problems(503, 507) }
    }
  }, async (_request, reply) => {
    const cleared = await cache.clear(cache.namespace, undefined, reply)
    return { ok: true as const, message: 'Cache cleared successfully', cleared }
  })

  app.get('/performance', {
    config: { scope: 'cache:read', priority: 'bulk', touches: 'everything', rateLimit: { cost: SWEEP } },
    schema: {
      operationId: 'measureCachePerformance',
      summary: 'Compare the cache with the database, now',
      tags,
      response: { 200: ref(CachePerformance), ...problems(503) }
    }
  }, async (_request, reply) => {
    const ttl = configStore.get('samples.products.list_ttl')
    reply.header('cache-control', 'no-store')
    // Both as far as the text that an answer is made of.
    return await comparePerformance(
      async () => (await cache.read(sampleKeys.products.list, async () => await service.list(), { ttl })).encoded,
      async () => JSON.stringify(await service.list()))
  })
}

export default cacheAside
