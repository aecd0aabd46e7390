import { randomUUID } from 'node:crypto'
import { UnavailableError, UnsupportedHereError } from '../../errors.js'
import type { Recording } from '../../idempotency/recording.js'
import { AddressList } from '../address-list.js'
import type { Authenticator, Caller } from '../authenticator.js'
import type { CredentialStore } from '../credential-store.js'
import { badCredential, forbidden } from '../errors.js'
import type { HeldKeys } from '../keys/held-keys.js'
import type { Principal } from '../principal.js'
import { ResourceList } from '../resources.js'
import { ScopeSet } from '../scopes.js'
import { AUDIENCE, checkClaims, ISSUER, SKEW, type Claims } from './claims.js'
import { grantOf, type Asked, type Grant } from './grant.js'
import type { Algorithm, Jwt, SigningKey } from './signing-key.js'
import type { SigningKeys } from './signing-keys.js'
import { keyIdOf, MAX_LENGTH } from './token-text.js'
import type { ValetLedger } from './valet-ledger.js'

export interface ValetKeysOptions {
  jwt: Jwt
  algorithm: Algorithm
  keys: SigningKeys
  ledger: ValetLedger
  store: Pick<CredentialStore, 'ensureCurrent' | 'epoch' | 'isCurrent'>
  /** Tells until when API keys live. */
  issuers: Pick<HeldKeys, 'endOf'>
  /** Seconds that a valet key lives when nobody says how long. */
  defaultTtl: number
  /** Milliseconds since 1970. */
  now?: () => number
}

/** A new valet key. The token is shown this once. */
export interface IssuedValetKey {
  readonly id: string
  readonly token: string
  /** Whole seconds that it has left. */
  readonly expiresIn: number
  readonly grant: Grant
}

/**
 * Valet keys: signed tokens that carry a part of their issuer's rights for a few minutes (the valet key pattern). What a token permits
 * stands in it, so that checking one asks no database; what is revoked is known in memory, and uses are counted in PostgreSQL.
 */
export class ValetKeys implements Authenticator {
  readonly #options: Required<ValetKeysOptions>

  constructor (options: ValetKeysOptions) {
    this.#options = { now: () => Date.now(), ...options }
  }

  get epoch (): number {
    const { store } = this.#options
    return store.isCurrent ? store.epoch : -1
  }

  /** A header of JSON, and a part behind it. */
  recognises (credential: string): boolean {
    return credential.startsWith('eyJ') && credential.includes('.')
  }

  authenticate (credential: string, caller: Caller): Principal | Promise<Principal> {
    const { store, algorithm } = this.#options
    const kid = keyIdOf(credential, algorithm)
    if (!store.isCurrent) return store.ensureCurrent().then(async () => await this.#lookUp(credential, kid, caller))
    return this.#lookUp(credential, kid, caller)
  }

  recall (principal: Principal, caller: Caller): void {
    if (caller.headers.authorization === undefined) throw badCredential('a valet key in x-api-key')
    if (principal.addresses?.covers(caller.ip) === false) throw forbidden('The credential may not be used from this address: ask for one that may.')
  }

  /**
   * Issues a valet key with what is asked for.
   * @throws ForbiddenError for more than the issuer holds
   * @throws UnsupportedHereError for what cannot be put into a token
   */
  async issue (issuer: Principal, asked: Asked, recording?: Recording<IssuedValetKey>): Promise<IssuedValetKey> {
    const { keys, ledger, jwt, now, defaultTtl } = this.#options
    const begun = now()
    const grant = grantOf(issuer, asked, begun, defaultTtl)
    const id = randomUUID()
    const claims = claimsOf(id, issuer, grant)
    for (let attempt = 1; attempt <= 3; attempt++) {
      const key = await keys.current()
      const token = key.sign(jwt, claims)
      if (token.length > MAX_LENGTH) throw new UnsupportedHereError('The valet key would be too long for a header: ask for fewer resources, or shorter ones.')
      const issued = { id, token, expiresIn: Math.floor(grant.expiresAt - begun / 1000), grant }
      const isEntered = await ledger.enter(id, key.kid, issuer, grant, recording && (async (transaction) => { await recording(transaction, issued) }))
      if (isEntered) return issued
      // Another process has made a new one in this very moment.
      await keys.refresh()
    }
    throw new UnavailableError('The keys that valet keys are signed with change all the time: try again in a moment.')
  }

  #lookUp (credential: string, kid: string, caller: Caller): Principal | Promise<Principal> {
    const key = this.#options.keys.find(kid)
    return key instanceof Promise ? key.then((found) => this.#bearer(credential, found, caller)) : this.#bearer(credential, key, caller)
  }

  #bearer (token: string, key: SigningKey | undefined, caller: Caller): Principal {
    const { jwt, ledger, issuers, now } = this.#options
    if (key === undefined) throw badCredential('signed with no key that is known')
    const claims = checkClaims(key.verify(jwt, token, now()), now())
    const lineage = [...claims.vk_from ?? [], claims.jti]
    if (ledger.isRevoked(lineage)) throw badCredential('revoked')
    const end = claims.vk_key === undefined ? Infinity : issuers.endOf(claims.vk_key) ?? 0
    if (end <= now()) throw badCredential('the API key that issued it is revoked or has expired')
    const principal = principalOf(claims, key.kid, lineage, end, ledger)
    this.recall(principal, caller)
    return principal
  }
}

function claimsOf (id: string, issuer: Principal, grant: Grant): Claims {
  const { scopes, namespaces, resources, addresses, maxBytes, maxUses, issuedAt, notBefore, expiresAt } = grant
  const { kind, rateLimits, lineage, apiKey = kind === 'api_key' ? issuer.id.slice('key:'.length) : undefined } = issuer
  return {
    iss: ISSUER,
    aud: AUDIENCE,
    sub: issuer.id,
    jti: id,
    iat: issuedAt,
    nbf: notBefore ?? issuedAt - SKEW,
    exp: expiresAt,
    scope: [...new Set(scopes)].join(' '),
    ...(namespaces && { vk_namespaces: namespaces }),
    ...(resources && { vk_resources: resources }),
    ...(addresses && { vk_ip: addresses }),
    ...(maxBytes !== undefined && { vk_max_bytes: maxBytes }),
    ...(rateLimits !== undefined && { vk_rate: rateLimits }),
    ...((maxUses !== undefined || issuer.spend !== undefined) && { vk_counted: true as const }),
    ...(apiKey !== undefined && { vk_key: apiKey }),
    ...(lineage && { vk_from: lineage })
  }
}

function principalOf (claims: Claims, signingKey: string, lineage: readonly string[], end: number, ledger: ValetLedger): Principal {
  const { jti, exp, scope, vk_key: apiKey, vk_namespaces: namespaces, vk_resources: resources, vk_ip: addresses, vk_max_bytes: maxBytes, vk_rate: rateLimits } = claims
  return Object.freeze({
    kind: 'valet_key' as const,
    id: `valet:${jti}`,
    signingKey,
    scopes: scopesOf(scope),
    lineage,
    expiresAt: Math.min(exp * 1000, end),
    ...(apiKey !== undefined && { apiKey }),
    ...(namespaces && { namespaces: new Set(namespaces) }),
    ...(resources && { resources: new ResourceList(resources) }),
    ...(addresses && { addresses: new AddressList(addresses) }),
    ...(maxBytes !== undefined && { maxBytes }),
    ...(rateLimits !== undefined && { rateLimits }),
    ...(claims.vk_counted && { spend: async () => { await ledger.spend(lineage) } })
  })
}

/** A release may give up a scope that one before it granted. */
function scopesOf (scope: string): ScopeSet {
  try {
    return ScopeSet.of(scope.split(' '))
  } catch {
    throw badCredential('a scope of the token does not exist')
  }
}
