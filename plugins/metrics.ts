import fp from 'fastify-plugin'
import { Metrics } from '../services/metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Numbers about this process, answered at /metrics. There even when switched off; then it counts nothing. */
    metrics: Metrics
  }
}

export interface MetricsOptions {
  enabled: boolean
}

/** Decorates the instance with `metrics`. Requests are counted by `plugins/requests.ts`, operations by whoever does them. */
export default fp<MetricsOptions>(async function metrics (app, { enabled }) {
  app.decorate('metrics', new Metrics(enabled))
}, { name: 'metrics', fastify: '5.x' })
