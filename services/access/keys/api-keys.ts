import SQL from '@nearform/sql'
import type { ApiKey, ApiKeyRotation, IssuedApiKey, NewApiKey } from '../../../schemas/keys.js'
import type { Call, Queryable } from '../../database.js'
import { ConflictError, invalidField, NotFoundError } from '../../errors.js'
import type { Recording } from '../../idempotency/recording.js'
import { parseRates, RateTextError } from '../../limits/rates.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from '../../page.js'
import type { CredentialStore } from '../credential-store.js'
import { badCredential, forbidden } from '../errors.js'
import { checkGrant, type Grant } from '../granting.js'
import type { Principal } from '../principal.js'
import { isGrantable, ScopeSet } from '../scopes.js'
import { MAX_LIVE_KEYS } from './held-keys.js'
import { KEY_PREFIX, makeKey } from './key-text.js'

/** Seconds that a key lives on beside its successor, where nothing else is said. */
const OVERLAP = 86_400
/** Keys that are revoked or expired stay listed for 90 days, so many at most. */
const MAX_DEAD_KEYS = 10_000

export interface ApiKeysOptions {
  credentials: Pick<CredentialStore, 'change'>
  database: Queryable
  /** Milliseconds since 1970. */
  now?: () => number
}

/**
 * API keys, in PostgreSQL: never the key itself. Nobody creates a key that can do more than they can; and for who is bound to
 * namespaces, only the keys exist that are bound to some of the same.
 */
export class ApiKeys {
  readonly #credentials: ApiKeysOptions['credentials']
  readonly #database: Queryable
  readonly #now: () => number

  constructor ({ credentials, database, now = Date.now }: ApiKeysOptions) {
    this.#credentials = credentials
    this.#database = database
    this.#now = now
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits, and undoes what is not committed. */
  within (call: Call): ApiKeys {
    const credentials: ApiKeysOptions['credentials'] = { change: async (work) => await this.#credentials.change(work, call) }
    return new ApiKeys({ credentials, database: this.#database, now: this.#now })
  }

  /** @throws InvalidInputError · ForbiddenError · ConflictError when there are too many */
  async create (issuer: Principal, wanted: NewApiKey, recording?: Recording<IssuedApiKey>): Promise<IssuedApiKey> {
    const { name = null, scopes, forbid = [], namespaces = null, rate_limit: rateLimit = issuer.rateLimits } = wanted
    for (const [field, list] of Object.entries({ scopes, forbid })) {
      const unknown = list.find((scope) => !isGrantable(scope))
      if (unknown !== undefined) throw invalidField(field, `names a scope that does not exist: ${unknown}.`)
    }
    if (rateLimit !== undefined) checkRates(rateLimit)
    const { expires = issuer.expiresAt ?? null } = { expires: this.#expiryOf(wanted) }
    const terms: Terms = { name, scopes, forbid, namespaces, rate_limit: rateLimit ?? null, expires }
    checkGrant(issuer, grantOf(terms))
    return await this.#credentials.change(async (transaction, revision) => {
      await checkIssuer(transaction, issuer, this.#now())
      const issued = await insert(transaction, terms, issuer, revision)
      await recording?.(transaction, issued)
      return issued
    })
  }

  /** In the order of their creation, those that are revoked or expired included. */
  async list (viewer: Principal, { limit = MAX_PAGE, cursor, order }: PageRequest = {}): Promise<{ keys: ApiKey[], next_cursor?: string }> {
    const { rows } = await this.#database.query<Row>(SQL`
      SELECT * FROM api_keys
      WHERE ${order === 'newest' ? SQL`position <` : SQL`position >`} ${positionOf(cursor, order)}::bigint AND (${own(viewer)}::text[] IS NULL OR namespaces <@ ${own(viewer)}::text[])
      ORDER BY position ${order === 'newest' ? SQL`DESC` : SQL`ASC`} LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ position }) => position)
    return { keys: page.rows.filter((row) => exists(row, viewer)).map((row) => this.#keyOf(row)), ...page.next }
  }

  /** @throws NotFoundError */
  async get (viewer: Principal, id: string): Promise<ApiKey> {
    return this.#keyOf(await find(this.#database, id, viewer))
  }

  /** Ends a key, or finds it ended. @throws NotFoundError */
  async revoke (actor: Principal, id: string): Promise<void> {
    const { revoked_at: revoked } = await find(this.#database, id, actor)
    if (revoked !== null) return
    await this.#credentials.change(async (transaction, revision) => {
      await transaction.query(SQL`
        UPDATE api_keys SET revoked_at = now(), revoked_by = ${actor.id}, revision = ${revision} WHERE id = ${id} AND revoked_at IS NULL`)
    })
  }

  /**
   * A successor with the same rights. The old key lives on for `overlap` seconds, so that its bearers can change over; of one line at
   * most two are live at a time.
   * @throws NotFoundError · ForbiddenError when the key can do more than the actor · ConflictError when it is replaced or ended
   */
  async rotate (actor: Principal, id: string, { overlap = OVERLAP, ...expiry }: ApiKeyRotation, recording?: Recording<IssuedApiKey>): Promise<IssuedApiKey> {
    const until = this.#expiryOf(expiry)
    return await this.#credentials.change(async (transaction, revision) => {
      const now = this.#now()
      await checkIssuer(transaction, actor, now)
      const row = await find(transaction, id, actor)
      if (!isLive(row, now)) throw new ConflictError('The key is revoked or has expired: create a new one.')
      if (row.successor !== null) throw new ConflictError(`The key has a successor already: rotate ${row.successor}, or revoke that first.`)
      await checkPredecessor(transaction, id, overlap, now)
      const terms: Terms = { ...row, expires: until === undefined ? timeOf(row.expires_at) : until }
      checkGrant(actor, grantOf(terms))
      const issued = await insert(transaction, terms, actor, revision)
      const leaves = Math.min(now + overlap * 1000, timeOf(row.expires_at) ?? Infinity)
      await transaction.query(overlap === 0
        ? SQL`UPDATE api_keys SET successor = ${issued.id}, revision = ${revision}, revoked_at = now(), revoked_by = ${actor.id} WHERE id = ${id}`
        : SQL`UPDATE api_keys SET successor = ${issued.id}, revision = ${revision}, expires_at = ${new Date(leaves)} WHERE id = ${id}`)
      await recording?.(transaction, issued)
      return issued
    })
  }

  /** Milliseconds since 1970, null for never; undefined where nothing is said. */
  #expiryOf ({ ttl, expires_at: text }: { ttl?: number, expires_at?: string }): number | null | undefined {
    if (text === undefined) return ttl === undefined ? undefined : ttl === 0 ? null : this.#now() + ttl * 1000
    if (ttl !== undefined) throw invalidField('expires_at', 'and ttl say the same: give one of them.')
    const moment = Date.parse(text)
    if (!(moment > this.#now())) throw invalidField('expires_at', 'must be in the future.')
    return moment
  }

  #keyOf (row: Row): ApiKey {
    return keyOf(row, this.#now())
  }
}

/** What makes a key what it is. */
interface Terms {
  name: string | null
  scopes: string[]
  forbid: string[]
  namespaces: string[] | null
  rate_limit: string | null
  /** Milliseconds since 1970. */
  expires: number | null
}

interface Row extends Omit<Terms, 'expires'> {
  id: string
  position: string
  created_at: Date
  created_by: string
  expires_at: Date | null
  last_used_at: Date | null
  revoked_at: Date | null
  revoked_by: string | null
  successor: string | null
}

async function insert (transaction: Queryable, terms: Terms, { id: issuer }: Principal, revision: number): Promise<IssuedApiKey> {
  await purge(transaction)
  const { id, text, digest } = makeKey()
  const { rows: [row] } = await transaction.query<Row>(SQL`
    INSERT INTO api_keys (id, secret_hash, name, scopes, forbid, namespaces, rate_limit, created_by, expires_at, revision)
    VALUES (${id}, ${digest.toString('hex')}, ${terms.name}, ${sorted(terms.scopes)}, ${sorted(terms.forbid)}, ${terms.namespaces && sorted(terms.namespaces)},
      ${terms.rate_limit}, ${issuer}, ${terms.expires === null ? null : new Date(terms.expires)}, ${revision})
    RETURNING *`)
  return { key: text, ...keyOf(row as Row, 0) }
}

/**
 * A key that was revoked a moment ago, in another process perhaps, leaves no successor behind.
 * @throws UnauthorizedError
 */
async function checkIssuer (transaction: Queryable, { kind, id }: Principal, now: number): Promise<void> {
  if (kind !== 'api_key') return
  const { rows: [row] } = await transaction.query<Row>(SQL`SELECT * FROM api_keys WHERE id = ${id.slice('key:'.length)}`)
  if (row === undefined || !isLive(row, now)) throw badCredential(`${id} is revoked or has expired`)
}

/** Forgets keys that ended long ago. @throws ConflictError when there is no room for another */
async function purge (transaction: Queryable): Promise<void> {
  await transaction.query(SQL`
    DELETE FROM api_keys WHERE least(revoked_at, expires_at) < now() - interval '90 days' OR position <= (
      SELECT position FROM api_keys WHERE least(revoked_at, expires_at) <= now() ORDER BY position DESC OFFSET ${MAX_DEAD_KEYS} LIMIT 1
    ) AND least(revoked_at, expires_at) <= now()`)
  const { rows: [row] } = await transaction.query<{ live: number }>(
    'SELECT count(*)::int AS live FROM api_keys WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())')
  if (Number(row?.live) >= MAX_LIVE_KEYS) throw new ConflictError(`There are ${MAX_LIVE_KEYS} live API keys, as many as there may be: revoke some first.`)
}

/** Two of a line may be live: when the one that this key replaced still is, this key has to end now. */
async function checkPredecessor (transaction: Queryable, id: string, overlap: number, now: number): Promise<void> {
  if (overlap === 0) return
  const { rows } = await transaction.query<Row>(SQL`SELECT * FROM api_keys WHERE successor = ${id}`)
  const before = rows.find((row) => isLive(row, now))
  if (before !== undefined) {
    throw new ConflictError(`The key ${before.id}, which this one replaces, is still live: revoke it first, or rotate with an overlap of 0.`)
  }
}

async function find (database: Queryable, id: string, viewer: Principal): Promise<Row> {
  const { rows: [row] } = await database.query<Row>(SQL`SELECT * FROM api_keys WHERE id = ${id}`)
  if (row === undefined || !exists(row, viewer)) throw new NotFoundError('There is no API key with this id: GET /keys lists those there are.')
  return row
}

/** Whether the key is there for the viewer: who sees some namespaces sees the keys that see no others. */
function exists ({ id, namespaces }: Row, viewer: Principal): boolean {
  if (viewer.resources !== undefined && !viewer.resources.covers(`keys/${id}`)) return false
  return viewer.namespaces === undefined || namespaces?.every((name) => viewer.namespaces?.has(name)) === true
}

function own ({ namespaces }: Principal): string[] | null {
  return namespaces === undefined ? null : [...namespaces]
}

function grantOf ({ scopes, forbid, namespaces, rate_limit: rateLimits, expires }: Terms): Grant {
  const unknown = [...scopes, ...forbid].find((scope) => !isGrantable(scope))
  if (unknown !== undefined) throw forbidden(`The key names a scope that is not known here (${unknown}): create a new one.`)
  return {
    scopes: ScopeSet.of(scopes, forbid),
    ...(namespaces !== null && { namespaces: new Set(namespaces) }),
    ...(rateLimits !== null && { rateLimits }),
    ...(expires !== null && { expiresAt: expires })
  }
}

function checkRates (text: string): void {
  try {
    parseRates(text)
  } catch (error) {
    if (error instanceof RateTextError) throw invalidField('rate_limit', `${error.message}.`)
    throw error
  }
}

function keyOf (row: Row, now: number): ApiKey {
  const iso = (time: Date | null) => time === null ? null : time.toISOString()
  return {
    id: row.id,
    prefix: `${KEY_PREFIX}${row.id}`,
    name: row.name,
    status: row.revoked_at !== null ? 'revoked' : isLive(row, now) ? 'live' : 'expired',
    scopes: row.scopes,
    forbid: row.forbid,
    namespaces: row.namespaces,
    rate_limit: row.rate_limit,
    created_at: row.created_at.toISOString(),
    created_by: row.created_by,
    expires_at: iso(row.expires_at),
    last_used_at: iso(row.last_used_at),
    revoked_at: iso(row.revoked_at),
    revoked_by: row.revoked_by,
    successor: row.successor
  }
}

const isLive = ({ revoked_at: revoked, expires_at: expires }: Row, now: number) => revoked === null && (expires === null || expires.getTime() > now)
const timeOf = (time: Date | null) => time === null ? null : time.getTime()
const sorted = (names: string[]) => [...new Set(names)].sort()
