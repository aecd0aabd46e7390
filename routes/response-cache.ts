import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import type {} from '../plugins/response-cache.js'
import type {} from '../plugins/together.js'
import { Message, problems, ref } from '../schemas/common.js'
import { CachedResponseParams, ResponseCacheStatistics } from '../schemas/response-cache.js'
import { InvalidInputError, NotFoundError } from '../services/errors.js'
import { SWEEP } from './cache/costs.js'

const PATH = '/api/invalidate/'
/** Keys that are named. */
const TOP_KEYS = 10

/** The stored responses of routes, by the keys that their documents name: `GET:/api/posts/`. */
const responseCache: FastifyPluginAsyncTypebox = async (app) => {
  const { responseCache: responses, together } = app

  const schema = {
    operationId: 'invalidateCachedResponse',
    summary: 'Drop one cached response',
    description: 'By its exact key, percent-encoded: `GET%3A%2Fapi%2Fposts%2F`, with its queries and variants. As it is will do, too, where it has no `#`. ' +
      'Entries of cache-aside, which are kept beside the responses, go by their exact keys too.',
    tags: ['Posts'],
    params: CachedResponseParams,
    response: { 200: ref(Message), ...problems(400, 404, 503) }
  }
  const config = { scope: 'cache:delete', touches: 'everything', audit: 'cache.invalidate' } as const
  const invalidate = async (request: FastifyRequest) => {
    const key = keyIn(request.raw.url ?? '')
    if (!await responses.has(key)) throw new NotFoundError('Nothing is cached under this key: GET /metrics/cache names keys that are.')
    await responses.forget(key)
    return { message: 'Cache key deleted' }
  }
  app.delete(`${PATH}:key`, { config, schema }, invalidate)
  // The same for a key that is written as it is, slashes and all.
  app.delete(`${PATH}*`, { config, schema: { hide: true, querystring: Type.Object({}, { additionalProperties: true }) } }, invalidate)

  app.get('/metrics/cache', {
    config: { scope: 'metrics:read', touches: 'everything', rateLimit: { cost: SWEEP } },
    schema: {
      operationId: 'getResponseCacheStatistics',
      summary: 'What the routes have cached, and what it is read for',
      description: 'Hits, misses and their keys are counted from the start; where several processes serve together (`WORKERS`), over all of them. ' +
        'Stored responses are counted in the cache, which is shared where there is a Redis.',
      tags: ['Observability'],
      response: { 200: ref(ResponseCacheStatistics), ...problems(503) }
    }
  }, async (_request, reply) => {
    const [{ hits, misses, top }, total] = await Promise.all([together.responses(TOP_KEYS), responses.total()])
    reply.header('cache-control', 'no-store')
    return { hits, misses, top_keys: top, total_cached_keys: total }
  })
}

/**
 * The key as it was sent: a trailing slash belongs to it, though the router takes no notice of one, and so does a query, which stands in
 * keys as it is in addresses.
 */
function keyIn (url: string): string {
  const end = url.includes('?') ? url.indexOf('?') : url.length
  try {
    return decodeURIComponent(url.slice(PATH.length, end)) + url.slice(end)
  } catch {
    throw new InvalidInputError('The key holds a percent sign that begins no valid escape of UTF-8: write %25 for the sign itself.')
  }
}

export default responseCache
