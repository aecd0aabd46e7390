import fp from 'fastify-plugin'
import type { TracingConfig } from '../config/tracing.js'
import type { Tracing } from '../services/tracing/tracing.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Undefined where nothing is traced. */
    tracing: Tracing | undefined
  }
}

export interface TracingPluginOptions {
  tracing: Tracing | undefined
}

/** Probes, metrics and files: they come all the time, and nobody looks for one. */
const isTraced = (path: string): boolean => !/^\/(?:health|metrics|assets)(?:[/?]|$)/.test(path) || /^\/metrics\/cache/.test(path)

/**
 * Starts to trace, before there is an instance: its log tells of traces. Nothing of OpenTelemetry is loaded before.
 * @throws Error in one line, where the packages for it are not installed
 */
export async function openTracing (config: TracingConfig): Promise<Tracing> {
  try {
    const { startTracing } = await import('../services/tracing/sdk.js')
    return startTracing({ ...config, isTraced })
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    if (code !== 'ERR_MODULE_NOT_FOUND' && code !== 'MODULE_NOT_FOUND') throw error
    const [, missing = 'a package'] = /'((?:@[\w-]+\/)?[\w-]+)'/.exec(message) ?? []
    throw new Error(`OTEL_EXPORTER_OTLP_ENDPOINT needs ${missing}, which is not installed: install Larder’s optional dependencies too (npm ci --include=optional), or leave the setting out.`)
  }
}

/**
 * Decorates the instance with `tracing`, and makes each request a span, with one for its handler, by `@fastify/otel`. Comes before every other plugin: it
 * sees the hooks and routes that come after it, and what waits is sent when all else is closed.
 */
export default fp<TracingPluginOptions>(async function tracing (app, { tracing }) {
  app.decorate('tracing', tracing)
  if (tracing === undefined) return
  tracing.log = app.log
  app.addHook('onClose', async () => { await tracing.close() })
  const { FastifyOtelInstrumentation } = await import('@fastify/otel')
  const instrumentation = new FastifyOtelInstrumentation({
    instrumentHooks: false, // thirty spans for each request
    recordExceptions: false,
    ignorePaths: ({ url }) => !isTraced(url),
    requestHook: (span, request) => { span.setAttribute('larder.request_id', request.id) }
  })
  await app.register(instrumentation.plugin())
}, { name: 'tracing', fastify: '5.x' })
