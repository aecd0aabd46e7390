import type { FastifyInstance } from 'fastify'
import cache from './cache.js'
import docs from './docs.js'
import health from './health.js'
import home from './home.js'
import metrics from './metrics.js'
import problems from './problems.js'

export interface RoutesOptions {
  /** Bytes that a cache key may have. */
  maxKeyLength: number
}

/** The table of contents: which module answers under which prefix. */
export default async function routes (app: FastifyInstance, { maxKeyLength }: RoutesOptions): Promise<void> {
  await app.register(home)
  await app.register(health, { prefix: '/health' })
  await app.register(metrics, { prefix: '/metrics' })
  await app.register(docs)
  await app.register(problems, { prefix: '/problems' })
  await app.register(cache, { prefix: '/api/cache', maxKeyLength })
}
