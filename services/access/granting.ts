import { parseRates } from '../limits/rates.js'
import { forbidden } from './errors.js'
import type { Principal } from './principal.js'
import type { ScopeSet } from './scopes.js'

/** What a new credential is to have. */
export interface Grant {
  readonly scopes: ScopeSet
  /** Undefined: all. */
  readonly namespaces?: ReadonlySet<string>
  /** Undefined: that of the service. */
  readonly rateLimits?: string
  /** Milliseconds since 1970; undefined: never. */
  readonly expiresAt?: number
}

/**
 * Holds a grant to what its issuer holds: nobody hands out more than they have, in what is permitted, where, how often, or until when.
 * @throws ForbiddenError that says what is too much
 */
export function checkGrant (issuer: Principal, { scopes, namespaces, rateLimits, expiresAt }: Grant): void {
  if (issuer.kind === 'valet_key' || issuer.resources !== undefined || issuer.maxBytes !== undefined) {
    throw forbidden('A valet key hands out no API keys, which would outlive it: use an API key that permits it.')
  }
  const missing = scopes.permissions().filter((permission) => !issuer.scopes.has(permission))
  if (missing.length > 0) {
    throw forbidden(`The issuer does not hold ${missing.join(', ')}: leave that out of scopes, or name it in forbid.`)
  }
  if (issuer.namespaces !== undefined) {
    const own = [...issuer.namespaces].sort().join(', ')
    if (namespaces === undefined) throw forbidden(`The issuer is bound to namespaces: name those of the new key, among ${own}.`)
    if (![...namespaces].every((name) => issuer.namespaces?.has(name))) throw forbidden(`The issuer reaches other namespaces only: name some of ${own}.`)
  }
  if (issuer.expiresAt !== undefined && (expiresAt === undefined || expiresAt > issuer.expiresAt)) {
    throw forbidden(`The issuer expires at ${new Date(issuer.expiresAt).toISOString()}: let the new key expire no later.`)
  }
  if (issuer.rateLimits !== undefined && !isWithin(rateLimits, issuer.rateLimits)) {
    throw forbidden(`The issuer is limited to ${issuer.rateLimits}: limit the new key to as much, or less in the same time.`)
  }
}

function isWithin (inner: string | undefined, outer: string): boolean {
  if (inner === undefined) return false
  const rates = parseRates(inner)
  return parseRates(outer).every(({ quota, window }) => rates.some((rate) => rate.window === window && rate.quota <= quota))
}
