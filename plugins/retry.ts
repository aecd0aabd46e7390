import fp from 'fastify-plugin'
import { Retries } from '../services/retries.js'
import type {} from './metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What is tried again, by what policy and within which budget: see docs/retry.md. */
    retries: Retries
  }
}

/** Decorates the instance with `retries`. Its policy is that of the run-time settings `retry.…` (`plugins/settings.ts`). */
export default fp(async function retry (app) {
  const retries = new Retries({ log: app.log })
  app.decorate('retries', retries)
  app.metrics.addCollector(() => retries.samples())
}, { name: 'retry', fastify: '5.x', dependencies: ['metrics'] })
