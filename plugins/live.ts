import fp from 'fastify-plugin'
import { Contents } from '../services/live/contents.js'
import { ProcessWatch } from '../services/live/process-watch.js'
import { sampleBetween } from '../services/live/sample.js'
import { Sampler } from '../services/live/sampler.js'
import type { PartHealth } from '../schemas/health.js'
import type {} from './cache.js'
import type {} from './health.js'
import type {} from './metrics.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** How the service does, second by second. Undefined where nothing is counted. */
    live: Sampler | undefined
  }
}

export interface LiveOptions {
  /** What all processes have counted. Default: this one is all there are. */
  totals?: (() => Promise<string>) | undefined
}

/** Decorates the instance with `live`. It reads what is counted anyway, so that it costs what is served nothing. */
export default fp<LiveOptions>(async function live (app, { totals }) {
  const { metrics, caches, health } = app
  if (!metrics.enabled) {
    app.decorate('live', undefined)
    return
  }
  const watch = new ProcessWatch()
  const ordered = caches.all().sort((a, b) => Number(b.backend === caches.defaultBackend) - Number(a.backend === caches.defaultBackend))
  const contents = new Contents([...ordered.map((cache) => ({ name: cache.backend, cache })), { name: 'app', cache: app.cache }], () => performance.now())
  let parts: Record<string, PartHealth> | undefined
  let isWatched = false
  /** A part that hangs does not hold up the samples: they tell how it was. */
  const look = async (): Promise<void> => {
    const found = await health.readiness()
    if (isWatched) parts = found.parts
  }

  const sampler = new Sampler({
    count: totals ?? (async () => metrics.counted() + watch.text()),
    sample: async (before, now, time) => {
      if (isWatched) {
        contents.refresh()
        const looking = look()
        if (parts === undefined) await looking
      }
      return sampleBetween(before, now, { time, contents: contents.read(now), parts })
    },
    onWatched: (watched) => {
      isWatched = watched
      parts = undefined
      if (watched) watch.start()
      else watch.stop()
    },
    onFault: (err) => { app.log.warn({ err }, 'What was counted cannot be read: a sample is missing') }
  })
  app.decorate('live', sampler)
  app.addHook('onReady', async () => { await sampler.start() })
  app.addHook('preClose', async () => { sampler.close() })
}, { name: 'live', fastify: '5.x', dependencies: ['cache', 'health', 'metrics'] })
