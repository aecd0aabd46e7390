import { createHash } from 'node:crypto'
import type { Principal } from './principal.js'
import type { Scope } from './scopes.js'

export const AUDIT_OUTCOMES = ['success', 'denied', 'failure'] as const
export type AuditOutcome = typeof AUDIT_OUTCOMES[number]

/** Something that somebody did, or was kept from doing. Never holds a credential. */
export interface AuditEvent {
  /** Milliseconds since 1970. */
  readonly at: number
  /** Their name; empty for who did not say. */
  readonly principal: string
  readonly kind: Principal['kind']
  /** Of the bearer of a valet key: the id of the key that it is signed with. */
  readonly kid?: string | undefined
  /** What they did, `cache.clear` for instance; `access` for what is no administrative act. */
  readonly action: string
  readonly scope: Scope
  /** What it was done to, as resources name it: `keys/…`, `products/7`. */
  readonly resource?: string | undefined
  /** Of an entry of the cache: SHA-256 of its key, in hexadecimal. */
  readonly keyHash?: string | undefined
  readonly namespace?: string | undefined
  /** Undefined where several are meant. */
  readonly address?: string | undefined
  readonly outcome: AuditOutcome
  readonly status?: number | undefined
  readonly requestId?: string | undefined
  /** In words, why it was denied. */
  readonly reason?: string | undefined
}

/** One row of the log: an event, or several that are alike. */
export interface AuditRow extends AuditEvent {
  readonly event: string
  readonly until: number
  readonly count: number
}

/** How the log names a key of the cache without telling it. */
export function keyHashOf (key: string): string {
  return createHash('sha256').update(key).digest('hex')
}
