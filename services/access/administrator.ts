import { createHash, timingSafeEqual } from 'node:crypto'
import type { Authenticator } from './authenticator.js'
import { badCredential } from './errors.js'
import type { Principal } from './principal.js'
import { ScopeSet } from './scopes.js'

const ADMINISTRATOR: Principal = Object.freeze({ kind: 'administrator', id: 'administrator', scopes: ScopeSet.of(['*']) })

/** The one key that the environment gives (`CACHE_API_KEY`): it may do everything and needs no database. */
export class AdministratorKey implements Authenticator {
  /** It holds as long as the process lives. */
  readonly epoch = 0
  readonly #digest: Buffer

  constructor (key: string) {
    this.#digest = digestOf(key)
  }

  /** Compares digests, in time that does not depend on where they differ. */
  recognises (credential: string): boolean {
    return timingSafeEqual(digestOf(credential), this.#digest)
  }

  authenticate (credential: string): Principal {
    if (!this.recognises(credential)) throw badCredential('not the administrator’s key')
    return ADMINISTRATOR
  }
}

function digestOf (text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
