import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { COMPONENT } from '../schemas/common.js'

/**
 * Adds to each route's context the named components that its schema mentions (see `ref` in schemas/common.ts), so that
 * validators, serialisers and the OpenAPI document find them. Registered before any route.
 */
export default fp(async function components (app) {
  app.addHook('onRoute', function (route) {
    if (route.schema !== undefined) addComponents(this, route.schema)
  })
}, { name: 'components', fastify: '5.x' })

/** Adds every component that is reachable from `schema` to the instance, each once. */
export function addComponents (app: FastifyInstance, schema: object): void {
  const queue: object[] = [schema]
  const seen = new Set<object>()
  for (let part = queue.pop(); part !== undefined; part = queue.pop()) {
    if (seen.has(part)) continue
    seen.add(part)
    for (const child of Object.values(part)) {
      if (typeof child === 'object' && child !== null) queue.push(child as object)
    }
    const component = (part as { [COMPONENT]?: { $id: string } })[COMPONENT]
    if (component === undefined) continue
    queue.push(component)
    if (app.getSchema(component.$id) === undefined) app.addSchema(component)
  }
}
