import type { Priority } from '../limits/overload.js'
import { forbidden, noCredential } from './errors.js'
import { seesAll, type Principal } from './principal.js'
import type { Permission, Scope } from './scopes.js'

/**
 * What a route touches, which is asked where a principal is limited to namespaces or resources. Absent: the thing that the scope and
 * the path name, `items/<id>` for `items:read` and `/items/:id`; without an id, all of that resource.
 * - a function names another thing, or, ending in `/`, all of a resource
 * - `everything`: more than any limited principal has a right to
 * - `namespace`: what belongs to the namespace in the query, and without one as much as `everything`. Others' are refused to whoever changes
 *   something; to readers the handler shows them as if nothing were there
 * - `handler`: the handler itself holds what it finds to the principal
 */
export type Touches = 'everything' | 'namespace' | 'handler' | ((params: PathParameters) => string)

/** Texts before the path is validated; then what its schema makes of them. */
export type PathParameters = Readonly<Record<string, string | number>>

/** What a route asks of its callers. */
export interface Demand {
  permission: Scope
  /** Of the permission in a ScopeSet; -1 asks for nothing. */
  index: number
  touches?: Touches | undefined
  /** Who is let in last when there is too much to do. Default `ordinary`. */
  priority?: Priority | undefined
}

/** Why somebody may, or may not. */
export type Rule = 'public' | 'granted' | 'not granted' | 'forbidden' | 'limited to namespaces' | 'limited to resources'

/**
 * What is not permitted is forbidden, and what is forbidden no grant permits: the one decision behind every route. Entries of the
 * cache are held to the principal by its routes, which alone know where the request says which.
 */
export function decide (principal: Principal, demand: Demand, params: unknown, query?: unknown): Rule {
  if (demand.index === -1) return 'public'
  if (!principal.scopes.holds(demand.index)) return principal.scopes.names.some((name) => isWithin(demand.permission, name)) ? 'forbidden' : 'not granted'
  if (seesAll(principal) || demand.touches === 'handler') return 'granted'
  if (demand.touches === 'everything') return principal.namespaces === undefined ? 'limited to resources' : 'limited to namespaces'
  if (demand.touches === 'namespace') return ruleOfNamespace(principal, demand, query)
  const { resources } = principal
  if (resources === undefined) return 'granted'
  const thing = thingOf(demand, params as PathParameters)
  return (thing.endsWith('/') ? resources.coversAll(thing) : resources.covers(thing)) ? 'granted' : 'limited to resources'
}

/** The error that a principal is turned away with; undefined when they may go on. Costs a look into an array where nothing is limited. */
export function denialOf (principal: Principal, demand: Demand, params: unknown, query?: unknown): Error | undefined {
  if (demand.index === -1 || (principal.scopes.holds(demand.index) && seesAll(principal))) return undefined
  let rule: Rule
  try {
    rule = decide(principal, demand, params, query)
  } catch (error) {
    // Whatever cannot be decided is denied.
    return error as Error
  }
  switch (rule) {
    case 'public':
    case 'granted': return undefined
    case 'limited to namespaces':
    case 'limited to resources': return forbidden('The credential is limited, and does not reach this: ask for one that does.')
    case 'forbidden':
    case 'not granted':
  }
  if (principal.kind === 'anonymous' || principal.kind === 'local') return noCredential()
  return forbidden(`The credential does not permit ${demand.permission}: ask for one with that scope.`, demand.permission)
}

/** What belongs to a namespace and is no entry: who is limited to resources has none of it. */
function ruleOfNamespace ({ namespaces, resources }: Principal, { permission }: Demand, query: unknown): Rule {
  if (resources !== undefined) return 'limited to resources'
  const { namespace } = (query ?? {}) as { namespace?: unknown }
  if (typeof namespace !== 'string') return 'limited to namespaces'
  return permission.endsWith(':read') || namespaces?.has(namespace) === true ? 'granted' : 'limited to namespaces'
}

/** The thing that a request is about, as resources name it. */
export function thingOf ({ permission, touches }: Demand, params: PathParameters): string {
  if (typeof touches === 'function') return touches(params)
  const [resource] = permission.split(':', 1)
  const { id } = params
  // An id that ends in a slash would be taken for all of them. A whole number is one when the path has been validated.
  return id === undefined ? `${resource}/` : `${resource}/${String(id).replace(/\/+$/, '')}`
}

/** Whether the scope, as it is granted, is for the permission. */
export function isWithin (permission: Permission | 'public', scope: string): boolean {
  const [resource, action] = permission.split(':')
  const [ofResource, ofAction = '*'] = scope.split(':')
  return (ofResource === '*' || ofResource === resource) && (ofAction === '*' || ofAction === action)
}
