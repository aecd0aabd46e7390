import { createRequire } from 'node:module'
import fp from 'fastify-plugin'
import { Metrics } from '../services/metrics.js'

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }

declare module 'fastify' {
  interface FastifyInstance {
    /** Numbers about this process, answered at /metrics. There even when switched off; then it counts nothing. */
    metrics: Metrics
    /** The numbers that are answered there, as Prometheus text: those of all processes that serve together. */
    metricsText: () => Promise<string>
  }
}

export interface MetricsOptions {
  enabled: boolean
  /** What all processes have counted. Default: this one is all there are. */
  totals?: (() => Promise<string>) | undefined
}

/** Decorates the instance with `metrics`. Requests are counted by `plugins/requests.ts`, operations by whoever does them. */
export default fp<MetricsOptions>(async function metrics (app, { enabled, totals }) {
  const metrics = new Metrics(enabled)
  metrics.addCollector(() => [{ name: 'larder_build_info', help: '1, by the release that runs', type: 'gauge', labels: { version }, value: 1, across: 'highest' }])
  app.decorate('metrics', metrics)
  app.decorate('metricsText', totals ?? (async () => await metrics.render()))
}, { name: 'metrics', fastify: '5.x' })
