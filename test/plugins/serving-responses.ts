import Fastify, { type FastifyPluginAsync, type FastifyReply, type FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import health from '../../plugins/health.js'
import metrics from '../../plugins/metrics.js'
import responseCache, { type ResponseCaching } from '../../plugins/response-cache.js'
import { Cache } from '../../services/cache/cache.js'
import { DEFAULT_LIMITS } from '../../services/cache/limits.js'
import { LocalStore } from '../../services/cache/stores/local-store.js'
import type { Owner } from '../support/servers.js'

export type Handler = (request: FastifyRequest, reply: FastifyReply, n: number) => unknown

/** A bare application with one cached route at `/value`, and a clock of its own. @param plugins before the route */
export async function serving (owner: Owner, handler: Handler = (_request, _reply, n) => ({ n }), caching: Partial<ResponseCaching> = {}, plugins: readonly FastifyPluginAsync[] = []) {
  const app = Fastify({ forceCloseConnections: true })
  owner.teardown(() => app.close())
  let now = 1_700_000_000_000
  await app.register(health)
  await app.register(metrics, { enabled: true })
  await app.register(fp(async (app) => {
    const cache = new Cache({ store: new LocalStore({ now: () => now, limits: DEFAULT_LIMITS }), now: () => now, namespace: 'app' })
    app.decorate('cache', cache)
    app.addHook('onClose', async () => { await cache.close() })
  }, { name: 'cache' }))
  for (const plugin of plugins) await app.register(plugin)
  await app.register(responseCache)
  let runs = 0
  app.get('/value', { config: { cache: { ttl: 60, staleIfError: 0, ...caching } } }, (request, reply) => handler(request, reply, ++runs))
  const get = async (headers: Record<string, string> = {}, url = '/value', method: 'GET' | 'HEAD' = 'GET') => await app.inject({ method, url, headers })
  const status = async (...of: Parameters<typeof get>) => String((await get(...of)).headers['cache-status'])
  return { app, get, status, runs: () => runs, pass: (seconds: number) => { now += seconds * 1000 } }
}

export const KEY = 'key="GET:/value"'
export const MISS = `larder; fwd=miss; stored; ${KEY}`
