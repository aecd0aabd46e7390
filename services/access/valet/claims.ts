import { badCredential } from '../errors.js'

/** Who signs, and who is meant to check. Keys of one database are known nowhere else, so the names need not tell deployments apart. */
export const ISSUER = 'larder'
export const AUDIENCE = 'larder'
/** The media type of a valet key, in its header: no other token of anybody passes for one (RFC 8725, 3.11). */
export const TYPE = 'valet+jwt'

/** Seconds that a valet key may live at most. */
export const MAX_TTL = 3600
/**
 * Seconds that the clocks of two machines may differ by. A valet key is valid from so long before it was issued, unless it says
 * from when, and may have been issued so far in the future. Its end has no tolerance: at `exp` it is over (RFC 7519, 4.1.4).
 */
export const SKEW = 30
/** How many times a valet key may be passed on in narrower form. */
export const MAX_DEPTH = 5

/** What a valet key says. Times are whole seconds since 1970. */
export interface Claims {
  readonly iss: typeof ISSUER
  readonly aud: typeof AUDIENCE
  /** On whose behalf: who issued it. */
  readonly sub: string
  readonly jti: string
  readonly iat: number
  readonly nbf: number
  readonly exp: number
  /** Scopes with spaces between (RFC 8693, 4.2). */
  readonly scope: string
  readonly vk_namespaces?: readonly string[]
  readonly vk_resources?: readonly string[]
  readonly vk_ip?: readonly string[]
  readonly vk_max_bytes?: number
  /** The limit of requests of who issued it, as in `RATE_LIMITS`. */
  readonly vk_rate?: string
  /** Whether its uses are counted, its own or those of a valet key that it came from. */
  readonly vk_counted?: true
  /** The API key that it, or the first one that it came from, was issued with: what is revoked issues nothing that goes on. */
  readonly vk_key?: string
  /** The valet keys that it came from, the first one first. */
  readonly vk_from?: readonly string[]
}

export const ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

const isId = (value: unknown): boolean => typeof value === 'string' && ID.test(value)
const isText = (value: unknown): boolean => typeof value === 'string' && value.length > 0
const isTime = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0
const isList = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isText)

const REQUIRED: Readonly<Record<string, (value: unknown) => boolean>> = {
  iss: (value) => value === ISSUER,
  aud: (value) => value === AUDIENCE,
  sub: isText,
  jti: isId,
  iat: isTime,
  nbf: isTime,
  exp: isTime,
  scope: isText
}
const OPTIONAL: Readonly<Record<string, (value: unknown) => boolean>> = {
  vk_namespaces: isList,
  vk_resources: isList,
  vk_ip: isList,
  vk_max_bytes: isTime,
  vk_rate: isText,
  vk_counted: (value) => value === true,
  vk_key: isText,
  vk_from: (value) => Array.isArray(value) && value.length > 0 && value.length <= MAX_DEPTH && value.every(isId)
}

/**
 * What a token whose signature holds says, if it is what this service writes: every claim there, known, and of its type, and a life
 * within bounds; and if its time has come and is not over.
 * @param now milliseconds since 1970
 * @throws UnauthorizedError
 */
export function checkClaims (claims: Readonly<Record<string, unknown>>, now: number): Claims {
  for (const [name, holds] of Object.entries(REQUIRED)) {
    if (!Object.hasOwn(claims, name) || !holds(claims[name])) throw badCredential(`the claim ${name} is missing or not acceptable`)
  }
  for (const [name, value] of Object.entries(claims)) {
    if (Object.hasOwn(REQUIRED, name)) continue
    if (!Object.hasOwn(OPTIONAL, name) || !OPTIONAL[name]!(value)) throw badCredential('a claim is unknown or not acceptable')
  }
  const known = claims as unknown as Claims
  const { iat, nbf, exp } = known
  if (exp <= iat || exp - iat > MAX_TTL || nbf >= exp || nbf < iat - SKEW) throw badCredential('the times of the token are out of bounds')
  if (now >= exp * 1000) throw badCredential('expired')
  if (now < nbf * 1000) throw badCredential('not valid yet')
  if (now < (iat - SKEW) * 1000) throw badCredential('issued in the future')
  return known
}
