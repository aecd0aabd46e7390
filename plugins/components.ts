import fp from 'fastify-plugin'
import type { FastifyInstance } from 'fastify'
import { COMPONENT } from '../schemas/common.js'

interface Component { $id: string }

/**
 * Adds the named components that a route's schema mentions (see `ref` in schemas/common.ts) to the whole service, so that
 * validators, serialisers and the OpenAPI document find them. Since every module then knows the same components, they share
 * one compiler of each kind: a compiler per module would be most of the time that a start takes. Registered before any route.
 */
export default fp(async function components (app) {
  const known = new Map<string, Component>()
  app.addHook('onRoute', ({ schema, url }) => {
    if (schema === undefined) return
    for (const component of componentsIn(schema)) {
      const other = known.get(component.$id)
      if (other !== undefined && other !== component) throw new Error(`Two schemas are named ${component.$id}; ${url} mentions the second`)
      known.set(component.$id, component)
      addComponent(app, component)
    }
  })
}, { name: 'components', fastify: '5.x' })

/** Adds a component and those that it mentions to the instance and, as Fastify does, to the modules within. */
export function addComponents (app: FastifyInstance, schema: object): void {
  for (const component of componentsIn(schema)) addComponent(app, component)
}

function addComponent (app: FastifyInstance, component: Component): void {
  if (app.getSchema(component.$id) === undefined) app.addSchema(component)
}

/** Every component that is reachable from the schema, each once. */
function componentsIn (schema: object): Set<Component> {
  const found = new Set<Component>()
  const seen = new Set<object>()
  const queue = [schema]
  for (let part = queue.pop(); part !== undefined; part = queue.pop()) {
    if (seen.has(part)) continue
    seen.add(part)
    for (const child of Object.values(part) as unknown[]) {
      if (typeof child === 'object' && child !== null) queue.push(child)
    }
    const component = (part as { [COMPONENT]?: Component })[COMPONENT]
    if (component === undefined) continue
    found.add(component)
    queue.push(component)
  }
  return found
}
