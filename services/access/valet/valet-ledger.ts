import SQL from '@nearform/sql'
import type { Database, Queryable } from '../../database.js'
import { NotFoundError } from '../../errors.js'
import type { Recording } from '../../idempotency/recording.js'
import { pageOf, positionOf, type PageRequest } from '../../page.js'
import type { CredentialStore } from '../credential-store.js'
import { badCredential, exhausted, forbidden } from '../errors.js'
import type { Principal } from '../principal.js'
import { ID } from './claims.js'
import type { Grant } from './grant.js'

/** A valet key as it is listed: never the token. Times are milliseconds since 1970. */
export interface ValetKeyStatus {
  readonly id: string
  readonly kid: string
  readonly issuer: string
  /** The valet key that it came from. */
  readonly parent: string | undefined
  readonly state: 'live' | 'expired' | 'revoked' | 'exhausted'
  readonly scopes: readonly string[]
  readonly namespaces: readonly string[] | null
  readonly resources: readonly string[] | null
  readonly addresses: readonly string[] | null
  readonly maxBytes: number | null
  readonly maxUses: number | null
  readonly uses: number
  readonly policy: string | null
  readonly description: string | null
  readonly issuedAt: number
  readonly notBefore: number | null
  readonly expiresAt: number
  readonly revokedAt: number | null
  readonly revokedBy: string | null
}

/** What a list, or a revocation of several, is limited to. */
export interface ValetKeyFilter {
  readonly issuer?: string | null | undefined
  readonly policy?: string | null | undefined
}

export interface ValetLedgerOptions {
  database: Database
  store: Pick<CredentialStore, 'change' | 'follow'>
  /** Milliseconds since 1970. */
  now?: () => number
}

/** How long what has expired stays listed, in PostgreSQL's words. */
const KEPT = '1 day'
const MIN_PRUNED = 1000
/** Rows that one statement of the sweep deletes. */
const SWEPT = 1000
/** Clocks of the service and of the database differ by less, in PostgreSQL's words. */
const SKEW = '5 minutes'

/** The valet keys that were issued, in PostgreSQL, and in memory which of those that live are revoked. */
export class ValetLedger {
  readonly #database: Database
  readonly #store: ValetLedgerOptions['store']
  readonly #now: () => number
  /** Until when each of them would have lived. */
  readonly #revoked = new Map<string, number>()
  /** More than so many are looked through for those that have expired: each of them twice on the average, however many there are. */
  #pruneAt = MIN_PRUNED

  constructor ({ database, store, now = Date.now }: ValetLedgerOptions) {
    this.#database = database
    this.#store = store
    this.#now = now
  }

  /** Loads what is revoked. */
  async open (): Promise<void> {
    await this.#store.follow((database, since) => this.#load(database, since))
  }

  isRevoked (lineage: readonly string[]): boolean {
    return this.#revoked.size > 0 && lineage.some((id) => this.#revoked.has(id))
  }

  /**
   * Enters a valet key that is about to be signed. Answers false when the key it would be signed with does not sign any more.
   * @throws ForbiddenError when one that it comes from is revoked by now, or has fewer uses left
   */
  async enter (id: string, kid: string, { id: issuer, lineage = [] }: Principal, grant: Grant, recording?: Recording<void>): Promise<boolean> {
    const entry = entryOf(id, kid, issuer, lineage, grant)
    if (lineage.length === 0 && recording === undefined) return (await this.#database.query(entry)).rowCount === 1
    return await this.#database.transaction(async (transaction) => {
      // Held until the end: a revocation comes before, and is seen, or after, and meets the row.
      const { rows } = await transaction.query<{ revoked: boolean, left: number | null }>(SQL`
        SELECT revoked_at IS NOT NULL AS revoked, max_uses - uses AS left FROM valet_tokens WHERE id = ANY(${lineage}) FOR SHARE`)
      if (rows.length < lineage.length || rows.some(({ revoked }) => revoked)) throw badCredential('revoked')
      const left = Math.min(...rows.map((row) => row.left ?? Infinity))
      if (grant.maxUses !== undefined && grant.maxUses > left) {
        throw forbidden(`A valet key shares the uses of the one that it comes from, which has ${left} left: ask for no more, or leave max_uses out.`, 'valet:issue')
      }
      const isEntered = (await transaction.query(entry)).rowCount === 1
      if (isEntered) await recording?.(transaction)
      return isEntered
    })
  }

  /**
   * Counts one use of the valet key and of those that it comes from, or none.
   * @throws UnauthorizedError when one of them has none left, or is revoked
   */
  async spend (lineage: readonly string[]): Promise<void> {
    const [only, ...more] = lineage
    if (more.length === 0) return await spendOne(this.#database, only!)
    // The first one first, always: two that come from the same never wait for each other in a circle.
    await this.#database.transaction(async (transaction) => {
      for (const id of lineage) await spendOne(transaction, id)
    })
  }

  /** Those that the viewer may see, in the order of issue. */
  async list (viewer: Principal, { issuer = null, policy = null }: ValetKeyFilter, { limit = 100, cursor, order }: PageRequest): Promise<{ tokens: ValetKeyStatus[], next: { next_cursor?: string } }> {
    const { all, own } = viewOf(viewer)
    const { rows } = await this.#database.query<Row>(SQL`
      SELECT token.*, EXISTS (SELECT FROM valet_tokens AS source WHERE source.id = ANY(token.lineage) AND source.uses >= source.max_uses) AS exhausted
      FROM valet_tokens AS token
      WHERE ${order === 'newest' ? SQL`position <` : SQL`position >`} ${positionOf(cursor, order)}::bigint AND (${all}::boolean OR issuer = ${viewer.id} OR lineage @> ARRAY[${own}::text])
        AND (${issuer}::text IS NULL OR issuer = ${issuer}) AND (${policy}::text IS NULL OR policy = ${policy})
      ORDER BY position ${order === 'newest' ? SQL`DESC` : SQL`ASC`} LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ position }) => position)
    return { tokens: page.rows.map((row) => this.#status(row)), next: page.next }
  }

  /** @throws NotFoundError where there is none that the viewer may see */
  async get (viewer: Principal, id: string): Promise<ValetKeyStatus> {
    const { all, own } = viewOf(viewer)
    const { rows: [row] } = await this.#database.query<Row>(SQL`
      SELECT token.*, EXISTS (SELECT FROM valet_tokens AS source WHERE source.id = ANY(token.lineage) AND source.uses >= source.max_uses) AS exhausted
      FROM valet_tokens AS token
      WHERE id = ${ID.test(id) ? id : ''} AND (${all}::boolean OR issuer = ${viewer.id} OR lineage @> ARRAY[${own}::text])`)
    if (row === undefined) throw new NotFoundError('There is no valet key with this id: GET /valet/tokens lists those there are.')
    return this.#status(row)
  }

  /** Revokes the valet key and all that come from it; one that is revoked already stays so. @throws NotFoundError */
  async revoke (viewer: Principal, id: string): Promise<void> {
    await this.get(viewer, id)
    await this.#store.change(async (transaction, revision) => {
      await transaction.query(SQL`
        UPDATE valet_tokens SET revoked_at = now(), revoked_by = ${viewer.id}, revision = ${revision}
        WHERE revoked_at IS NULL AND (id = ${id} OR (cardinality(lineage) > 1 AND lineage @> ARRAY[${id}::text]))`)
    })
  }

  /** Revokes those that the filter names, all that come from them included. Answers how many. */
  async revokeAll (viewer: Principal, { issuer = null, policy = null }: ValetKeyFilter): Promise<number> {
    const { all, own } = viewOf(viewer)
    return await this.#store.change(async (transaction, revision) => {
      const { rows } = await transaction.query<{ id: string }>(SQL`
        SELECT id FROM valet_tokens
        WHERE revoked_at IS NULL AND expires_at > now() - ${SKEW}::interval AND (${all}::boolean OR issuer = ${viewer.id} OR lineage @> ARRAY[${own}::text])
          AND (${issuer}::text IS NULL OR issuer = ${issuer}) AND (${policy}::text IS NULL OR policy = ${policy})`)
      const ids = rows.map(({ id }) => id)
      const { rowCount } = await transaction.query(SQL`
        UPDATE valet_tokens SET revoked_at = now(), revoked_by = ${viewer.id}, revision = ${revision}
        WHERE revoked_at IS NULL AND (id = ANY(${ids}) OR (cardinality(lineage) > 1 AND lineage && ${ids}::text[]))`)
      return rowCount ?? 0
    })
  }

  /** Deletes what expired long ago. Answers how many there were. */
  async sweep (): Promise<number> {
    for (let swept = 0; ;) {
      const { rowCount } = await this.#database.query(SQL`
        DELETE FROM valet_tokens WHERE id IN (
          SELECT id FROM valet_tokens WHERE expires_at < now() - ${KEPT}::interval ORDER BY expires_at LIMIT ${SWEPT} FOR UPDATE SKIP LOCKED)`)
      swept += rowCount ?? 0
      if ((rowCount ?? 0) < SWEPT) return swept
    }
  }

  async #load (database: Queryable, since: number): Promise<() => void> {
    const { rows } = await database.query<{ id: string, expires_at: Date }>(SQL`
      SELECT id, expires_at FROM valet_tokens WHERE revision > ${since} AND expires_at > now() - ${SKEW}::interval`)
    return () => {
      if (since === 0) this.#revoked.clear()
      for (const { id, expires_at: expiresAt } of rows) this.#revoked.set(id, expiresAt.getTime())
      if (this.#revoked.size > this.#pruneAt) this.#prune()
    }
  }

  /** Who has expired is refused for that. */
  #prune (): void {
    const now = this.#now()
    for (const [id, expiresAt] of this.#revoked) if (expiresAt <= now) this.#revoked.delete(id)
    this.#pruneAt = Math.max(MIN_PRUNED, 2 * this.#revoked.size)
  }

  #status (row: Row): ValetKeyStatus {
    const expiresAt = row.expires_at.getTime()
    const isOver = expiresAt <= this.#now()
    return {
      id: row.id,
      kid: row.kid,
      issuer: row.issuer,
      parent: row.lineage.at(-2),
      state: row.revoked_at !== null ? 'revoked' : isOver ? 'expired' : row.exhausted ? 'exhausted' : 'live',
      scopes: row.scopes,
      namespaces: row.namespaces,
      resources: row.resources,
      addresses: row.addresses,
      maxBytes: row.max_bytes === null ? null : Number(row.max_bytes),
      maxUses: row.max_uses,
      uses: row.uses,
      policy: row.policy,
      description: row.description,
      issuedAt: row.issued_at.getTime(),
      notBefore: row.not_before?.getTime() ?? null,
      expiresAt,
      revokedAt: row.revoked_at?.getTime() ?? null,
      revokedBy: row.revoked_by
    }
  }
}

interface Row {
  id: string
  position: string
  kid: string
  issuer: string
  lineage: string[]
  scopes: string[]
  namespaces: string[] | null
  resources: string[] | null
  addresses: string[] | null
  max_bytes: string | null
  max_uses: number | null
  uses: number
  policy: string | null
  description: string | null
  issued_at: Date
  not_before: Date | null
  expires_at: Date
  revoked_at: Date | null
  revoked_by: string | null
  exhausted: boolean
}

function entryOf (id: string, kid: string, issuer: string, lineage: readonly string[], grant: Grant) {
  const time = (seconds: number | undefined): Date | null => seconds === undefined ? null : new Date(seconds * 1000)
  const { scopes, namespaces = null, resources = null, addresses = null, maxBytes = null, maxUses = null, policy = null, description = null } = grant
  const { issuedAt, notBefore, expiresAt } = grant
  return SQL`
    INSERT INTO valet_tokens (id, kid, issuer, lineage, scopes, namespaces, resources, addresses, max_bytes, max_uses, policy, description,
      issued_at, not_before, expires_at)
    SELECT ${id}, kid, ${issuer}, ${[...lineage, id]}::text[], ${scopes}::text[], ${namespaces}::text[], ${resources}::text[], ${addresses}::text[],
      ${maxBytes}::bigint, ${maxUses}::integer, ${policy}, ${description}, ${time(issuedAt)}::timestamptz, ${time(notBefore)}::timestamptz, ${time(expiresAt)}::timestamptz
    FROM valet_signing_keys WHERE kid = ${kid} AND verifies_until IS NULL AND retired_at IS NULL`
}

async function spendOne (database: Queryable, id: string): Promise<void> {
  const { rowCount } = await database.query(SQL`
    UPDATE valet_tokens SET uses = uses + 1 WHERE id = ${id} AND revoked_at IS NULL AND (max_uses IS NULL OR uses < max_uses)`)
  if (rowCount !== 0) return
  const { rows: [row] } = await database.query<{ revoked: boolean }>(SQL`SELECT revoked_at IS NOT NULL AS revoked FROM valet_tokens WHERE id = ${id}`)
  throw row?.revoked === true ? badCredential('revoked') : exhausted()
}

/** Who is limited sees what they have issued themselves, and what came of it; everybody else sees all. */
function viewOf ({ kind, namespaces, resources, lineage }: Principal): { all: boolean, own: string } {
  return { all: kind !== 'valet_key' && namespaces === undefined && resources === undefined, own: lineage?.at(-1) ?? '' }
}
