import { randomUUID } from 'node:crypto'
import SQL from '@nearform/sql'
import type { Sealer } from '../access/valet/sealer.js'
import type { Database } from '../database.js'
import { UnavailableError } from '../errors.js'
import { boundTo, Claim } from './claim.js'
import { AnswerNotKeptError, InProgressError, KeyReusedError, OutcomeUnknownError } from './errors.js'
import type { Answer } from './recording.js'

export interface RequestLedgerOptions {
  database: Pick<Database, 'query'>
  /** Seals answers that hold secrets. */
  sealer: Sealer
  /** Seconds that an answer is kept. Default 24 hours. */
  ttl?: number
  /** Milliseconds that an attempt is taken to be alive without a word of it. Default 15 s. */
  lease?: number
  /** Told when the lease of a request could not be prolonged. */
  onFault: (error: unknown) => void
}

/** A request that is to be carried out once. */
export interface KeyedRequest {
  /** SHA-256 of who asks, what for, and the key. */
  readonly id: Buffer
  /** SHA-256 of everything that its effect depends on. */
  readonly fingerprint: Buffer
  /** Whether it may be carried out anew where nobody knows if it was: its effect is the same twice, or it records it in its transaction. */
  readonly isRepeatable: boolean
  /** Whether the answer is kept sealed. */
  readonly isSealed: boolean
}

/** Rows that one statement of the sweep deletes, and statements of one sweep: more than come in between are left to the next. */
const SWEPT = 1000
const SWEEPS = 1000
/** How often a record is looked for that goes while it is looked at. */
const ATTEMPTS = 5

/** Requests with an Idempotency-Key and the first answers to them, in PostgreSQL: for all processes, and over restarts. */
export class RequestLedger {
  readonly #options: Required<RequestLedgerOptions>

  constructor (options: RequestLedgerOptions) {
    this.#options = { ttl: 86_400, lease: 15_000, ...options }
  }

  /**
   * Takes a request to carry it out, or finds its answer.
   * @throws KeyReusedError for another request under the same key · InProgressError while another attempt lives · AnswerNotKeptError ·
   * OutcomeUnknownError
   */
  async claim (request: KeyedRequest): Promise<Claim | Answer> {
    const { database, sealer, lease, onFault, ttl } = this.#options
    const { id, isSealed, isRepeatable } = request
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const holder = randomUUID()
      if (await this.#take(request, holder)) return new Claim({ database, id, holder, isRepeatable, lease, ttl: ttl * 1000, sealer: isSealed ? sealer : undefined, onFault })
      const { rows: [row] } = await database.query<Row>(SQL`
        SELECT fingerprint, applied, status, headers, body, sealed, leased_until <= now() AS abandoned FROM idempotency_keys WHERE id = ${id}`)
      if (row !== undefined) return this.#answerIn(row, request)
    }
    throw new UnavailableError('Requests with this Idempotency-Key come and go: try again in a moment.')
  }

  /** Forgets what is older than it has to be kept. Answers how many. */
  async sweep (): Promise<number> {
    for (let swept = 0, times = 1; ; times++) {
      const { rowCount } = await this.#options.database.query(SQL`
        DELETE FROM idempotency_keys WHERE id IN (
          SELECT id FROM idempotency_keys WHERE expires_at <= now() ORDER BY expires_at LIMIT ${SWEPT} FOR UPDATE SKIP LOCKED)`)
      swept += rowCount ?? 0
      if ((rowCount ?? 0) < SWEPT || times === SWEEPS) return swept
    }
  }

  async #take ({ id, fingerprint, isRepeatable }: KeyedRequest, holder: string): Promise<boolean> {
    const { database, lease, ttl } = this.#options
    const { rowCount } = await database.query(SQL`
      INSERT INTO idempotency_keys AS kept (id, fingerprint, holder, leased_until, expires_at)
      VALUES (${id}, ${fingerprint}, ${holder}, now() + make_interval(secs => ${lease / 1000}), now() + make_interval(secs => ${ttl}))
      ON CONFLICT (id) DO UPDATE SET fingerprint = excluded.fingerprint, holder = excluded.holder, leased_until = excluded.leased_until,
        expires_at = excluded.expires_at, applied = false, status = NULL, headers = NULL, body = NULL
      WHERE kept.expires_at <= now() OR kept.holder = excluded.holder
        OR (${isRepeatable} AND NOT kept.applied AND kept.leased_until <= now() AND kept.fingerprint = excluded.fingerprint)`, { repeatable: true })
    return rowCount === 1
  }

  #answerIn ({ fingerprint, applied, status, headers, body, sealed, abandoned }: Row, request: KeyedRequest): Answer {
    if (!fingerprint.equals(request.fingerprint)) throw new KeyReusedError()
    if (status === null || headers === null || body === null) {
      if (applied) throw new AnswerNotKeptError('it was too large, or the service ended before it was kept')
      if (abandoned && !request.isRepeatable) throw new OutcomeUnknownError()
      throw Object.assign(new InProgressError(), { retryAfter: 1 })
    }
    const opened = sealed ? this.#options.sealer.open(body, boundTo(request.id)) : body
    if (opened === undefined) throw new AnswerNotKeptError('it was sealed under another SECRET_KEY')
    return { status, headers: JSON.parse(headers) as Answer['headers'], body: opened }
  }
}

interface Row {
  fingerprint: Buffer
  applied: boolean
  status: number | null
  headers: string | null
  body: Buffer | null
  sealed: boolean
  abandoned: boolean
}
