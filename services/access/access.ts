import { beginningOf, type Matcher } from '../cache/glob.js'
import { forbidden } from './errors.js'
import { seesKey, seesNamespace, type Principal } from './principal.js'

const CACHE = 'cache/'

/** Whether all of the namespace is the principal's. */
export function seesWhole ({ namespaces, resources }: Principal, namespace: string): boolean {
  return (namespaces === undefined || namespaces.has(namespace)) && (resources === undefined || resources.coversAll(`${CACHE}${namespace}/`))
}

/** Whether every namespace is, those to come too. */
export function seesCache ({ namespaces, resources }: Principal): boolean {
  return namespaces === undefined && (resources === undefined || resources.coversAll(CACHE))
}

/** Which keys of a namespace that they reach exist for the principal; undefined when all do. */
export function keysWithin (principal: Principal, namespace: string): Matcher | undefined {
  return principal.resources === undefined ? undefined : (key) => seesKey(principal, namespace, key)
}

/** The namespaces of which something may be the principal's; undefined where they cannot be named one by one. */
export function namespacesOf (principal: Principal): string[] | undefined {
  const named = principal.namespaces ?? namesIn(principal.resources?.patterns)
  return named === undefined ? undefined : [...named].filter((namespace) => seesNamespace(principal, namespace)).sort()
}

/** @throws ForbiddenError unless the principal may write to the entry */
export function checkKeyAccess (principal: Principal, namespace: string, key: string): void {
  if (!seesKey(principal, namespace, key)) throw forbidden('The credential does not reach this key: ask for one of its namespace.')
}

/** @throws ForbiddenError unless something of the namespace is the principal's */
export function checkNamespaceReach (principal: Principal, namespace: string): void {
  if (!seesNamespace(principal, namespace)) throw foreignNamespace(namespace)
}

/** @throws ForbiddenError unless all of the namespace is the principal's */
export function checkNamespaceAccess (principal: Principal, namespace: string): void {
  if (!seesWhole(principal, namespace)) throw foreignNamespace(namespace)
}

/** @throws ForbiddenError unless every key that could match the glob is the principal's */
export function checkPatternAccess (principal: Principal, namespace: string, pattern: string): void {
  if (seesWhole(principal, namespace)) return
  const { text, isWhole } = beginningOf(pattern)
  const { resources } = principal
  if (isWhole && seesKey(principal, namespace, text)) return
  if (seesNamespace(principal, namespace) && resources?.coversAll(`${CACHE}${namespace}/${text}`) === true) return
  throw forbidden('The credential does not reach all keys that match this: narrow the pattern, or ask for one of the namespace.')
}

/** @throws ForbiddenError unless every namespace is the principal's */
export function checkCacheAccess (principal: Principal): void {
  if (!seesCache(principal)) throw forbidden('This concerns every namespace, and the credential is limited to some: ask for one that is not.')
}

const foreignNamespace = (namespace: string): Error =>
  forbidden(`The credential does not reach all of the namespace ${namespace}: ask for one that does, or name another namespace.`)

function namesIn (patterns: readonly string[] = []): Set<string> | undefined {
  const names = new Set<string>()
  for (const pattern of patterns) {
    const [resource, name, ...key] = pattern.split('/')
    if (resource === 'cache' && name !== undefined && key.length > 0) names.add(name)
    // `cache/te*`, for instance: whatever begins like that.
    else if (pattern.endsWith('*') && (CACHE.startsWith(pattern.slice(0, -1)) || pattern.startsWith(CACHE))) return undefined
  }
  return names
}
