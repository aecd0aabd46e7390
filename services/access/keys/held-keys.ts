import { timingSafeEqual } from 'node:crypto'
import type { Queryable } from '../../database.js'
import type { Authenticator } from '../authenticator.js'
import type { CredentialStore } from '../credential-store.js'
import { badCredential } from '../errors.js'
import type { Principal } from '../principal.js'
import { isGrantable, ScopeSet } from '../scopes.js'
import { digestOf, KEY_PREFIX, parseKey } from './key-text.js'
import type { KeyUses } from './key-uses.js'

/** Keys that may be live at a time. All of them are in the memory of every process: with 10 000 some megabytes. */
export const MAX_LIVE_KEYS = 10_000

export interface HeldKeysOptions {
  credentials: CredentialStore
  uses: Pick<KeyUses, 'note'>
  /** Milliseconds since 1970. */
  now?: () => number
  log: { warn (detail: object, message: string): void }
}

interface Held { readonly digest: Buffer, readonly principal: Principal }

interface Row {
  id: string
  secret_hash: string
  scopes: string[]
  forbid: string[]
  namespaces: string[] | null
  rate_limit: string | null
  expires_at: Date | null
  revoked_at: Date | null
}

/** What is compared with where there is no such key, so that this takes as long. */
const NOBODYS = Buffer.alloc(32)

/**
 * The API keys that are live, all in memory: whoever tries keys causes no lookup, and an unknown one takes as long as a wrong one. After
 * the first load only what has changed is read.
 */
export class HeldKeys implements Authenticator {
  readonly #credentials: CredentialStore
  readonly #uses: Pick<KeyUses, 'note'>
  readonly #now: () => number
  readonly #log: HeldKeysOptions['log']
  readonly #keys = new Map<string, Held>()

  constructor ({ credentials, uses, now = Date.now, log }: HeldKeysOptions) {
    this.#credentials = credentials
    this.#uses = uses
    this.#now = now
    this.#log = log
  }

  get size (): number {
    return this.#keys.size
  }

  get epoch (): number {
    return this.#credentials.isCurrent ? this.#credentials.epoch : -1
  }

  /** Until when the key with the id lives, in milliseconds since 1970; Infinity: for ever; undefined: not any more. */
  endOf (id: string): number | undefined {
    const held = this.#keys.get(id)
    return held === undefined ? undefined : held.principal.expiresAt ?? Infinity
  }

  recognises (credential: string): boolean {
    return credential.startsWith(KEY_PREFIX)
  }

  authenticate (credential: string): Principal | Promise<Principal> {
    const key = parseKey(credential)
    if (key === undefined) throw badCredential('not an API key by its form and checksum')
    if (!this.#credentials.isCurrent) return this.#credentials.ensureCurrent().then(() => this.#holder(key))
    return this.#holder(key)
  }

  #holder (key: NonNullable<ReturnType<typeof parseKey>>): Principal {
    const held = this.#keys.get(key.id)
    const isRight = timingSafeEqual(digestOf(key.id, key.secret), held?.digest ?? NOBODYS)
    if (held === undefined || !isRight) throw badCredential('an API key that does not exist, or not any more')
    const { principal } = held
    if (principal.expiresAt !== undefined && principal.expiresAt <= this.#now()) throw badCredential(`the API key ${key.id} has expired`)
    this.recall(principal)
    return principal
  }

  recall ({ id }: Principal): void {
    this.#uses.note(id, this.#now())
  }

  /** For `CredentialStore.follow`. */
  readonly load = async (database: Queryable, since: number): Promise<() => void> => {
    const { rows } = await database.query<Row>({
      text: `SELECT id, secret_hash, scopes, forbid, namespaces, rate_limit, expires_at, revoked_at FROM api_keys
        WHERE revision > $1 AND ($1 > 0 OR (revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())))`,
      values: [since]
    })
    const found = rows.map((row) => [row.id, this.#heldOf(row)] as const)
    return () => {
      if (since === 0) this.#keys.clear()
      for (const [id, held] of found) {
        if (held === undefined) this.#keys.delete(id)
        else this.#keys.set(id, held)
      }
      if (this.#keys.size > MAX_LIVE_KEYS) this.#dropExpired()
    }
  }

  /** Undefined for a key that opens nothing (any more). */
  #heldOf ({ id, secret_hash: hash, scopes, forbid, namespaces, rate_limit: rateLimits, expires_at: expires, revoked_at: revoked }: Row): Held | undefined {
    if (revoked !== null) return undefined
    const unknown = forbid.filter((scope) => !isGrantable(scope))
    if (unknown.length > 0) {
      // Another release wrote it. A scope that is not known grants nothing; a ban that is not known cannot be kept.
      this.#log.warn({ key: id, forbid: unknown }, 'An API key is left out: it forbids what is not known here')
      return undefined
    }
    const principal: Principal = Object.freeze({
      kind: 'api_key',
      id: `key:${id}`,
      scopes: ScopeSet.of(scopes.filter(isGrantable), forbid),
      ...(namespaces !== null && { namespaces: new Set(namespaces) }),
      ...(rateLimits !== null && { rateLimits }),
      ...(expires !== null && { expiresAt: expires.getTime() })
    })
    return { digest: Buffer.from(hash, 'hex'), principal }
  }

  #dropExpired (): void {
    const now = this.#now()
    for (const [id, { principal: { expiresAt } }] of this.#keys) {
      if (expiresAt !== undefined && expiresAt <= now) this.#keys.delete(id)
    }
  }
}
