import { type Principal, seesAll } from '../access/principal.js'
import { type Permission, permissionIndex } from '../access/scopes.js'

/** The permission whose holders may know of events of a kind, the first part of their type. What is published is known to all who listen in its namespace. */
export const KNOWN_TO: ReadonlyMap<string, Permission> = new Map([
  ['item', 'items:read'], ['product', 'products:read'], ['recipe', 'recipes:read'], ['user', 'users:read'], ['post', 'posts:read'], ['breaker', 'metrics:read']
])
/** What belongs to no namespace and is no resource: whoever is limited to some does not hear of it. */
const OF_ALL = new Set(['breaker'])

/** Of what resource the type tells; undefined: it was published. */
export function kindOf (type: string): string | undefined {
  const kind = type.slice(0, type.indexOf('.'))
  return KNOWN_TO.has(kind) ? kind : undefined
}

/** In development the local caller could read the thing itself with a valet key of its own making. */
export function mayKnowKind (principal: Principal, kind: string): boolean {
  if (OF_ALL.has(kind) && !seesAll(principal)) return false
  return principal.kind === 'local' || principal.scopes.holds(permissionIndex(KNOWN_TO.get(kind)!)!)
}
