import { invalidField, UnsupportedHereError } from '../../errors.js'
import { AddressList, isAddressRange } from '../address-list.js'
import { forbidden } from '../errors.js'
import type { Principal } from '../principal.js'
import { MAX_RESOURCE_LENGTH, MAX_RESOURCES, ResourceList } from '../resources.js'
import { isGrantable, RESOURCES, ScopeSet } from '../scopes.js'
import { MAX_DEPTH, MAX_TTL } from './claims.js'

/** What somebody asks a valet key for. Where a part is absent, it gets what the issuer has. */
export interface Asked {
  readonly scopes: readonly string[]
  readonly namespaces?: readonly string[] | undefined
  readonly resources?: readonly string[] | undefined
  /** Seconds. Absent: the default, or as long as the issuer lives. */
  readonly ttl?: number | undefined
  /** Milliseconds since 1970. */
  readonly notBefore?: number | undefined
  readonly maxUses?: number | undefined
  /** Addresses and ranges of them. */
  readonly addresses?: readonly string[] | undefined
  readonly maxBytes?: number | undefined
  /** A name under which valet keys can be revoked together. */
  readonly policy?: string | undefined
  readonly description?: string | undefined
}

/** What the valet key gets. Times are whole seconds since 1970. */
export interface Grant extends Omit<Asked, 'ttl' | 'notBefore'> {
  readonly issuedAt: number
  /** undefined: from its issue on. */
  readonly notBefore: number | undefined
  readonly expiresAt: number
}

/**
 * Whether the issuer may give what is asked for, and what that comes to.
 * @param now milliseconds since 1970
 * @param defaultTtl seconds
 * @throws ForbiddenError for more than the issuer holds, InvalidInputError and UnsupportedHereError for what nobody can be given
 */
export function grantOf (issuer: Principal, asked: Asked, now: number, defaultTtl: number): Grant {
  if ((issuer.lineage?.length ?? 0) > MAX_DEPTH) throw forbidden(`This valet key comes from ${MAX_DEPTH} others and cannot be passed on: ask the issuer of the first for one.`)
  checkScopes(issuer, asked.scopes)
  const namespaces = narrowed('namespaces', issuer.namespaces && [...issuer.namespaces], asked.namespaces, (all, some) => some.every((name) => all.includes(name)))
  const resources = narrowed('resources', issuer.resources?.patterns, asked.resources && checkedResources(asked.resources, namespaces),
    (all, some) => new ResourceList(all).includes(new ResourceList(some)))
  const addresses = narrowed('ip', issuer.addresses?.texts, asked.addresses && checkedAddresses(asked.addresses),
    (all, some) => new AddressList(all).includes(new AddressList(some)))
  const maxBytes = narrowed('max_bytes', issuer.maxBytes, asked.maxBytes, (most, some) => some <= most)
  return { ...asked, ...timesOf(issuer, asked, now, defaultTtl), namespaces, resources, addresses, maxBytes }
}

function checkScopes ({ kind, scopes: held }: Principal, scopes: readonly string[]): void {
  const unknown = scopes.find((scope) => !isGrantable(scope))
  if (unknown !== undefined) throw invalidField('scopes', `names ${JSON.stringify(unknown)}, which is no scope: give one such as cache:read.`)
  // In development local callers may hand out what they may not use: recipes are guarded, to show how.
  if (kind === 'local' || held.covers(ScopeSet.of(scopes))) return
  throw forbidden('A valet key cannot have scopes that its issuer lacks: ask for fewer.', 'valet:issue')
}

/** What is asked for, if it is within what the issuer has; the latter, when nothing is asked for. */
function narrowed<T> (field: string, held: T | undefined, asked: T | undefined, within: (held: T, asked: T) => boolean): T | undefined {
  if (held === undefined || asked === undefined) return asked ?? held
  if (within(held, asked)) return asked
  throw forbidden(`A valet key cannot have more than its issuer, and ${field} would give it more: ask for less, or leave ${field} out.`, 'valet:issue')
}

function checkedResources (patterns: readonly string[], namespaces: readonly string[] | undefined): readonly string[] {
  if (patterns.length > MAX_RESOURCES) throw invalidField('resources', `may name ${MAX_RESOURCES} resources at most.`)
  for (const pattern of patterns) {
    if (pattern.length > MAX_RESOURCE_LENGTH) throw invalidField('resources', `may have ${MAX_RESOURCE_LENGTH} characters each.`)
    const [resource = '', namespace = '', key] = pattern.split('/', 3)
    if (!(RESOURCES as readonly string[]).includes(resource) || namespace === '') {
      throw invalidField('resources', `names ${JSON.stringify(pattern.slice(0, 100))}, which is no resource: give one such as recipes/7 or cache/default/user:*.`)
    }
    if (resource === 'cache' && namespaces !== undefined && (key === undefined || !namespaces.includes(namespace))) {
      throw forbidden('A valet key cannot have keys of the cache outside its namespaces: ask for fewer resources.', 'valet:issue')
    }
  }
  return patterns
}

function checkedAddresses (texts: readonly string[]): readonly string[] {
  const wrong = texts.find((text) => !isAddressRange(text))
  if (wrong === undefined) return texts
  throw invalidField('ip', `names ${JSON.stringify(wrong)}, which is no address and no range: give one such as 192.0.2.7 or 10.0.0.0/8.`)
}

function timesOf (issuer: Principal, { ttl, notBefore }: Asked, now: number, defaultTtl: number): Pick<Grant, 'issuedAt' | 'notBefore' | 'expiresAt'> {
  if (ttl !== undefined && (ttl > MAX_TTL || ttl <= 0)) {
    throw new UnsupportedHereError(`A valet key lives for ${MAX_TTL} seconds at most, and not for ever: ask for a ttl from 1 to ${MAX_TTL}.`)
  }
  const issuedAt = Math.floor(now / 1000)
  const end = Math.min(Math.ceil(now / 1000) + Math.ceil(ttl ?? defaultTtl), issuedAt + MAX_TTL)
  const last = issuer.expiresAt === undefined ? Infinity : Math.floor(issuer.expiresAt / 1000)
  if ((ttl !== undefined && end > last) || last <= issuedAt) throw forbidden('A valet key cannot outlive its issuer: ask for a shorter ttl, or leave ttl out.', 'valet:issue')
  const expiresAt = Math.min(end, last)
  if (notBefore !== undefined && notBefore >= expiresAt * 1000) {
    throw new UnsupportedHereError('The valet key would be over before not_before: ask for an earlier beginning, or a longer ttl.')
  }
  return { issuedAt, notBefore: notBefore === undefined ? undefined : Math.max(issuedAt, Math.ceil(notBefore / 1000)), expiresAt }
}
