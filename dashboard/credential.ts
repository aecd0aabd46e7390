import type { Identity } from '../schemas/authz.js'

/** Who the caller is, as the service says it. */
export type Caller = Identity

const KEPT_AS = 'larder.credential'

/** The credential that was given on this page. It lives as long as the tab, and is seen by no other one. */
export function keptCredential (): string | undefined {
  return sessionStorage.getItem(KEPT_AS) ?? undefined
}

export function keepCredential (credential: string | undefined): void {
  if (credential === undefined) sessionStorage.removeItem(KEPT_AS)
  else sessionStorage.setItem(KEPT_AS, credential)
}
