// One route whose answer is cached in one way or another, on a Fastify with nothing else on it.
import Fastify from 'fastify'
import cache from '../../dist/plugins/cache.js'
import cacheAside from '../../dist/plugins/cache-aside.js'
import health from '../../dist/plugins/health.js'
import metrics from '../../dist/plugins/metrics.js'
import responseCache from '../../dist/plugins/response-cache.js'
import { DEFAULT_LIMITS } from '../../dist/services/cache/limits.js'
import { schemaOf } from '../json-schema.mjs'
import { serve } from './serve.mjs'

const TTL = 3600

serve(async ({ how, text }) => {
  const app = Fastify()
  const object = JSON.parse(text)
  const schema = { response: { 200: schemaOf(object) } }
  if (how === 'object') {
    app.get('/:key', { schema }, (_request, reply) => { reply.send(object) })
    return app
  }
  await app.register(health)
  await app.register(metrics, { enabled: true })
  await app.register(cache, { defaultBackend: 'memory', limits: DEFAULT_LIMITS })
  if (how === 'cacheAside') {
    await app.register(cacheAside)
    app.get('/:key', { schema }, (request, reply) => reply.cacheAside({ key: `product:${request.params.key}`, ttl: TTL, load: async () => object }))
  } else {
    await app.register(responseCache)
    app.get('/:key', { config: { cache: { ttl: TTL } }, schema }, async () => object)
  }
  return app
})
