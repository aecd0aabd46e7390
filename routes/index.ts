import type { FastifyInstance } from 'fastify'
import health from './health.js'
import metrics from './metrics.js'

/** The table of contents: which module answers under which prefix. */
export default async function routes (app: FastifyInstance): Promise<void> {
  await app.register(health, { prefix: '/health' })
  await app.register(metrics, { prefix: '/metrics' })
}
