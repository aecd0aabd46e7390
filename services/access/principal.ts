import type { AddressList } from './address-list.js'
import type { ResourceList } from './resources.js'
import type { ScopeSet } from './scopes.js'

/** Who makes a request, and what they may do. Immutable: a change of rights makes another one. */
export interface Principal {
  readonly kind: 'administrator' | 'api_key' | 'valet_key' | 'local' | 'anonymous'
  /** Their name in logs, audit and limits: `administrator`, `key:…`, `valet:…`, `local`, or the empty name of the anonymous. */
  readonly id: string
  readonly scopes: ScopeSet
  /** The namespaces of the cache that exist for them; undefined: all of them. */
  readonly namespaces?: ReadonlySet<string>
  /** What of the resources of their scopes they may touch; undefined: all of it. */
  readonly resources?: ResourceList
  /** Where they may call from; undefined: anywhere. */
  readonly addresses?: AddressList
  /** Of a valet key: the ids of those that it came from, the first one first, and its own. */
  readonly lineage?: readonly string[]
  /** Of a valet key: the id (`kid`) of the key that it is signed with. */
  readonly signingKey?: string
  /** Of a valet key: the id of the API key that it, or the first one it came from, was issued with; undefined: it was somebody else. */
  readonly apiKey?: string
  /** Requests that they may make, in place of `RATE_LIMITS`; see `services/limits/rates.ts`. */
  readonly rateLimits?: string
  /** Bytes that a body of theirs may have, and that an answer to them may have. */
  readonly maxBytes?: number
  /** When the credential ends, in milliseconds since 1970; undefined: never. */
  readonly expiresAt?: number
  /**
   * Counts one use of a credential that has a number of them; called once for each request, before it does anything and after
   * everything else is permitted. Rejects with UnauthorizedError when there is none left. Absent: uses are not counted.
   */
  readonly spend?: () => Promise<void>
}

/** Whether the namespace exists for the principal. */
export function seesNamespace ({ namespaces, resources }: Principal, namespace: string): boolean {
  return (namespaces === undefined || namespaces.has(namespace)) && (resources === undefined || resources.reaches(`cache/${namespace}`))
}

/** Whether the entry exists for the principal. */
export function seesKey ({ namespaces, resources }: Principal, namespace: string, key: string): boolean {
  return (namespaces === undefined || namespaces.has(namespace)) && (resources === undefined || resources.covers(`cache/${namespace}/${key}`))
}

/** Whether everything in the cache exists for the principal: then nothing needs to be filtered. */
export function seesAll ({ namespaces, resources }: Principal): boolean {
  return namespaces === undefined && resources === undefined
}
