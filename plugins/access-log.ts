import fp from 'fastify-plugin'
import { AccessLog, type LineSink, type TraceFields } from '../services/access-log.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** One line per request; undefined when switched off. */
    accessLog: AccessLog | undefined
  }
}

export interface AccessLogOptions {
  enabled: boolean
  /** Where the lines go; standard output by default. */
  sink?: LineSink
  /** Which trace and span a request is, where requests are traced. */
  trace?: () => TraceFields | undefined
}

/** Decorates the instance with `accessLog`, which `plugins/requests.ts` writes to. */
export default fp<AccessLogOptions>(async function accessLog (app, { enabled, sink = process.stdout, trace }) {
  if (!enabled) {
    app.decorate('accessLog', undefined)
    return
  }
  // Unheard, the end of whoever reads it would end the process. Its own log goes on without a reader in the same way.
  if (sink === process.stdout && !process.stdout.listeners('error').includes(goOn)) process.stdout.on('error', goOn)
  const log = new AccessLog(sink, trace)
  app.decorate('accessLog', log)
  // Standard output is written synchronously when it is a file or a pipe: nothing is lost when the process ends by itself.
  const flush = () => log.flush()
  process.once('exit', flush)
  app.addHook('onClose', async () => {
    process.off('exit', flush)
    flush()
  })
}, { name: 'access-log', fastify: '5.x' })

function goOn (): void {}
