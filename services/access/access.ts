import { forbidden } from './errors.js'
import { seesKey, seesNamespace, type Principal } from './principal.js'

/** @throws ForbiddenError unless the principal may write to the entry */
export function checkKeyAccess (principal: Principal, namespace: string, key: string): void {
  if (!seesKey(principal, namespace, key)) throw forbidden('The credential does not reach this key: ask for one of its namespace.')
}

/** @throws ForbiddenError unless all of the namespace is the principal's */
export function checkNamespaceAccess (principal: Principal, namespace: string): void {
  const whole = principal.resources === undefined || principal.resources.covers(`cache/${namespace}/`)
  if (!seesNamespace(principal, namespace) || !whole) {
    throw forbidden(`The credential does not reach all of the namespace ${namespace}: ask for one that does.`)
  }
}

/** @throws ForbiddenError unless the principal may touch the thing, `recipes/7` for instance */
export function checkResource (principal: Principal, path: string): void {
  if (principal.resources === undefined || principal.resources.covers(path)) return
  throw forbidden('The credential does not reach this: ask for one of the resource.')
}
