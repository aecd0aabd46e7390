import fp from 'fastify-plugin'
import { Breakers } from '../services/breakers.js'
import { Retries } from '../services/retries.js'
import type {} from './metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** What is tried again, by what policy and within which budget: see docs/retry.md. */
    retries: Retries
    /** The breakers of this process, by the names that they have in the metrics. */
    breakers: Breakers
  }
}

/** Decorates the instance with `retries` and `breakers`. The policy of retries is that of the run-time settings `retry.…` (`plugins/settings.ts`). */
export default fp(async function retry (app) {
  const retries = new Retries({ log: app.log })
  app.decorate('retries', retries)
  app.decorate('breakers', new Breakers({ log: app.log }))
  app.metrics.addCollector(() => retries.samples())
}, { name: 'retry', fastify: '5.x', dependencies: ['metrics'] })
