import { randomUUID } from 'node:crypto'
import SQL from '@nearform/sql'
import type { AuditEntry } from '../../schemas/audit.js'
import type { Queryable } from '../database.js'
import { isoTime } from '../iso-time.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from '../page.js'
import type { AuditEvent, AuditOutcome, AuditRow } from './audit-event.js'
import { AuditWindows, type Alike, type WindowOptions } from './audit-windows.js'
import { seesAll, type Principal } from './principal.js'

export interface AuditLogOptions {
  database: Queryable
  log: { warn (detail: object, message: string): void }
  /** Days that an entry is kept. */
  retention: number
  /** Milliseconds since 1970. */
  now?: () => number
  /** Milliseconds between writings. Default 250; while the database is away up to twenty times as many. */
  interval?: number
  /** Rows that wait for the database at most. Default 10 000. */
  capacity?: number
  windows?: WindowOptions
}

export interface AuditQuery extends PageRequest {
  principal?: string
  action?: string
  outcome?: AuditOutcome
  /** Of an API key or a valet key: what it did, and what was done to it. */
  credential_id?: string
  /** ISO 8601. */
  since?: string
  until?: string
}

/** Rows of one statement. */
const BATCH = 500
const PRUNED = 5000
const DAY = 86_400_000
/** Characters of a text that are kept. */
const LONGEST = 500

/**
 * Who did what, in PostgreSQL. Nothing waits for it and nothing fails for it: rows are gathered in memory and written together. While
 * the database is away what fits is held; beyond that the oldest give way, and the log, and later this log itself, say how many.
 */
export class AuditLog {
  readonly #options: Required<Omit<AuditLogOptions, 'windows'>>
  readonly #windows: AuditWindows
  #rows: AuditRow[] = []
  #lost = 0
  #failures = 0
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> | undefined
  #closed = false

  constructor ({ windows, ...options }: AuditLogOptions) {
    this.#options = { now: Date.now, interval: 250, capacity: 10_000, ...options }
    this.#windows = new AuditWindows(windows)
  }

  /** Rows that wait to be written. */
  get waiting (): number { return this.#rows.length }

  /** Notes an event. Never throws, never waits. */
  record (event: AuditEvent): void {
    this.#add({ ...event, event: randomUUID(), until: event.at, count: 1 })
  }

  /**
   * Counts one more of what `count` was told of within the last minute, and tells whether it did: for what comes with every request,
   * where all the rest of the event would be made for nothing.
   */
  countAgain (event: Alike): boolean {
    return this.#windows.countAgain(event)
  }

  /** The same for what may come in floods: those that are alike within a minute of the first are one row. */
  count (event: AuditEvent): void {
    if (this.#windows.isFirst(event)) this.record(event)
    else this.#schedule()
  }

  /** Writes what waits; resolves when it is there, or when it is known that the database is away. */
  async flush (): Promise<void> {
    this.#flushing ??= this.#write().finally(() => { this.#flushing = undefined })
    await this.#flushing
  }

  /** Newest first. Who is limited to anything sees their own acts alone. */
  async list (viewer: Principal, query: AuditQuery): Promise<{ entries: AuditEntry[], next_cursor?: string }> {
    // What this process has just seen is to be found in it.
    await this.flush()
    const { action, outcome, credential_id: id, since, until, limit = MAX_PAGE, cursor } = query
    const principal = seesAll(viewer) ? query.principal : viewer.id
    if (principal !== undefined && query.principal !== undefined && principal !== query.principal) return { entries: [] }
    const statement = SQL`
      SELECT id, at, until, count, principal, kind, kid, action, scope, resource, key_hash, namespace, address, outcome, status, request_id, reason
      FROM audit_log WHERE true`
    if (cursor !== undefined) statement.append(SQL` AND id < ${positionOf(cursor)}::bigint`)
    if (principal !== undefined) statement.append(SQL` AND principal = ${principal}`)
    if (action !== undefined) statement.append(SQL` AND action = ${action}`)
    if (outcome !== undefined) statement.append(SQL` AND outcome = ${outcome}`)
    if (since !== undefined) statement.append(SQL` AND until >= ${new Date(since)}`)
    if (until !== undefined) statement.append(SQL` AND at < ${new Date(until)}`)
    if (id !== undefined) {
      statement.append(SQL` AND (principal = ANY(${[`key:${id}`, `valet:${id}`]}) OR resource = ANY(${[`keys/${id}`, `valet/${id}`, `valet/tokens/${id}`]}))`)
    }
    statement.append(SQL` ORDER BY id DESC LIMIT ${limit + 1}`)
    const { rows } = await this.#options.database.query<StoredRow>(statement)
    const page = pageOf(rows, limit, (row) => row.id)
    return { entries: page.rows.map(entryOf), ...page.next }
  }

  /** Removes what is older than the retention. */
  async prune (): Promise<void> {
    const { database, now, retention } = this.#options
    const oldest = new Date(now() - retention * DAY)
    for (;;) {
      const { rowCount } = await database.query(SQL`DELETE FROM audit_log WHERE id IN (SELECT id FROM audit_log WHERE at < ${oldest} LIMIT ${PRUNED})`)
      if ((rowCount ?? 0) < PRUNED) return
    }
  }

  /** Writes what waits and ends. What the database does not take now is lost, and the log says so. */
  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#closeWindows()
    await this.#flushing
    await this.flush()
    const lost = this.#lost + this.#rows.length
    if (lost > 0) this.#options.log.warn({ lost }, 'rows of the audit log are lost: the database did not take them before the end')
  }

  #add (row: AuditRow): void {
    this.#rows.push(row)
    this.#bound()
    this.#schedule()
  }

  #bound (): void {
    const excess = this.#rows.length - this.#options.capacity
    if (excess <= 0) return
    if (this.#lost === 0) this.#options.log.warn({ capacity: this.#options.capacity }, 'the audit log has no room for more rows: the oldest that wait are dropped')
    this.#rows.splice(0, excess)
    this.#lost += excess
  }

  #schedule (): void {
    if (this.#timer !== undefined || this.#closed) return
    const { interval } = this.#options
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      this.#closeWindows(this.#options.now())
      void this.flush().then(() => { if (this.#rows.length > 0 || this.#windows.size > 0) this.#schedule() })
    }, interval * Math.min(20, 1 + this.#failures)).unref()
  }

  #closeWindows (now?: number): void {
    for (const { event, until, count } of this.#windows.close(now)) this.#add({ ...event, event: randomUUID(), until, count })
  }

  async #write (): Promise<void> {
    while (this.#rows.length > 0) {
      const batch = this.#rows.splice(0, BATCH)
      try {
        await this.#insert(batch)
      } catch (error) {
        if (!this.#holds(error, batch)) continue
        return
      }
      if (this.#failures > 0) this.#options.log.warn({ lost: this.#lost }, 'the audit log can be written again')
      this.#failures = 0
      if (this.#lost > 0) this.#rows.push(this.#lossOf(this.#lost))
      this.#lost = 0
    }
  }

  /** Whether the rows are kept for another try. What the database refuses for good would stand in the way of all that follow. */
  #holds (error: unknown, batch: AuditRow[]): boolean {
    const isAway = (error as { statusCode?: number }).statusCode === 503
    if (this.#failures++ === 0 || !isAway) {
      this.#options.log.warn({ err: error, rows: batch.length }, isAway ? 'the audit log cannot be written: its rows wait' : 'rows of the audit log are lost: the database refused them')
    }
    if (!isAway) {
      this.#lost += batch.length
      return false
    }
    this.#rows.unshift(...batch)
    this.#bound()
    return true
  }

  async #insert (rows: readonly AuditRow[]): Promise<void> {
    const stored = rows.map((row) => ({
      event: row.event,
      at: isoTime(row.at),
      until: isoTime(row.until),
      count: row.count,
      principal: plain(row.principal),
      kind: row.kind,
      kid: row.kid,
      action: row.action,
      scope: row.scope,
      resource: plain(row.resource),
      key_hash: row.keyHash,
      namespace: plain(row.namespace),
      address: plain(row.address),
      outcome: row.outcome,
      status: row.status,
      request_id: plain(row.requestId),
      reason: plain(row.reason)
    }))
    await this.#options.database.query(SQL`
      INSERT INTO audit_log (event, at, until, count, principal, kind, kid, action, scope, resource, key_hash, namespace, address, outcome, status, request_id, reason)
      SELECT * FROM jsonb_to_recordset(${JSON.stringify(stored)}::jsonb) AS row (event uuid, at timestamptz, until timestamptz, count bigint, principal text,
        kind text, kid text, action text, scope text, resource text, key_hash text, namespace text, address text, outcome text, status integer, request_id text, reason text)
      ON CONFLICT (event) DO NOTHING`)
  }

  #lossOf (count: number): AuditRow {
    const at = this.#options.now()
    return {
      event: randomUUID(),
      at,
      until: at,
      count,
      principal: '',
      kind: 'anonymous',
      action: 'audit.lost',
      scope: 'audit:write',
      outcome: 'failure',
      reason: 'So many rows were dropped while they could not be written.'
    }
  }
}

type StoredRow = Omit<AuditEntry, 'time' | 'until' | 'count'> & { at: Date, until: Date, count: string }

function entryOf ({ at, until, count, ...rest }: StoredRow): AuditEntry {
  return { ...rest, time: at.toISOString(), until: until.toISOString(), count: Number(count) }
}

/** PostgreSQL takes neither NUL nor halves of surrogate pairs, and a request may hold both. */
function plain (text: string | undefined): string | undefined {
  return text?.slice(0, LONGEST).replaceAll('\0', '\uFFFD').replace(/\p{Cs}/gu, '\uFFFD')
}
