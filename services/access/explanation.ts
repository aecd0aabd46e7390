import { decide, isWithin, type Demand, type Rule } from './demand.js'
import { seesKey, seesNamespace, type Principal } from './principal.js'

/** What is wrong with a credential itself. `without issuer`: the API key that a valet key was issued with has ended. */
export type Flaw = 'expired' | 'revoked' | 'exhausted' | 'not yet valid' | 'without issuer'

/** `decide` knows nothing of credentials that do not hold, nor of where a request comes from, nor of what fails. */
export type ExplainedRule = Rule | `credential ${Flaw}` | 'limited to addresses' | 'error'

/** What is asked of the gatekeeper, and of the route behind it. */
export interface Question {
  demand: Demand
  /** Of the path. */
  params: unknown
  query?: unknown
  /** What of the cache the request is about, as far as it says so. */
  entry?: { namespace: string, key?: string | undefined } | undefined
  flaw?: Flaw | undefined
  /** Where the request would come from; undefined: from where the credential may be used. */
  address?: string | undefined
}

export interface Explanation {
  isPermitted: boolean
  rule: ExplainedRule
  /** The scope that was granted and holds the permission. */
  grantedBy?: string | undefined
}

/** The decision about a request, and the one rule that made it: the same functions decide when it really comes. */
export function explain (principal: Principal, { demand, params, query, entry, flaw, address }: Question): Explanation {
  // A credential that is presented is checked on public routes too.
  if (flaw !== undefined) return { isPermitted: false, rule: `credential ${flaw}` }
  if (address !== undefined && principal.addresses?.covers(address) === false) return { isPermitted: false, rule: 'limited to addresses' }
  let rule: ExplainedRule
  try {
    rule = decide(principal, demand, params, query)
    if (rule === 'granted' && entry !== undefined) rule = ruleOfEntry(principal, entry)
  } catch {
    rule = 'error'
  }
  if (rule === 'public') return { isPermitted: true, rule }
  const grantedBy = principal.scopes.names.find((name) => isWithin(demand.permission, name))
  return { isPermitted: rule === 'granted', rule, ...(rule !== 'not granted' && { grantedBy }) }
}

function ruleOfEntry (principal: Principal, { namespace, key }: NonNullable<Question['entry']>): ExplainedRule {
  if (principal.namespaces?.has(namespace) === false) return 'limited to namespaces'
  const isSeen = key === undefined ? seesNamespace(principal, namespace) : seesKey(principal, namespace, key)
  return isSeen ? 'granted' : 'limited to resources'
}
