import fp from 'fastify-plugin'
import { permissionIndex, type Scope } from '../services/access/scopes.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a caller must hold to use the route; `public` asks for nothing. Every route states it; the service does not start otherwise. */
    scope?: Scope
  }
}

/**
 * Refuses to start while a route states no scope, or none that exists. It looks once all routes are there, so that a plugin
 * around the routes of a package can state theirs in an `onRoute` hook of its own. Registered before any route.
 */
export default fp(async function scopes (app) {
  const undecided: { method: string | string[], url: string, config?: { scope?: string } }[] = []
  app.addHook('onRoute', (route) => {
    // The CORS preflight carries no credential and answers nothing but headers.
    if (route.method === 'OPTIONS' && route.url === '*') return
    undecided.push(route)
  })
  app.addHook('onReady', async () => {
    const faults = undecided.splice(0).filter(({ config }) => !isScope(config?.scope))
    if (faults.length === 0) return
    const names = faults.map(({ method, url, config }) => `${[method].flat().join(',')} ${url} (${config?.scope ?? 'none'})`)
    throw new Error(`These routes state no scope that exists, or \`public\`, in config.scope: ${names.join('; ')}`)
  })
}, { name: 'scopes', fastify: '5.x' })

function isScope (scope: string | undefined): boolean {
  return scope !== undefined && (scope === 'public' || permissionIndex(scope) !== undefined)
}
