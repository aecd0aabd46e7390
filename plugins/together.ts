import fp from 'fastify-plugin'
import type { Others } from '../services/processes/subordinate.js'
import { Together } from '../services/processes/together.js'
import type {} from './cache.js'
import type {} from './response-cache.js'
import type {} from './retry.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What all processes that serve together have counted, by namespace and by key. */
    together: Together
  }
}

export interface TogetherPluginOptions {
  /** Default: this process serves alone. */
  others?: Others | undefined
}

/** Decorates the instance with `together`. */
export default fp<TogetherPluginOptions>(async function together (app, { others }) {
  const { analytics, breakers, cache, caches, responseCache } = app
  app.decorate('together', new Together({
    caches: new Map([['app', cache], ...caches.all().map((each) => [each.backend, each] as const)]),
    responses: responseCache.counts,
    analytics,
    breakers,
    others
  }))
}, { name: 'together', fastify: '5.x', dependencies: ['cache', 'response-cache', 'retry'] })
