import { randomUUID } from 'node:crypto'
import createError from '@fastify/error'
import SQL from '@nearform/sql'
import { forbidden } from '../access/errors.js'
import type { Principal } from '../access/principal.js'
import type { Sealer } from '../access/valet/sealer.js'
import type { Call, DatabaseAccess } from '../database.js'
import { NotFoundError, UnsupportedHereError } from '../errors.js'
import { KNOWN_TO, mayKnowKind } from '../events/kinds.js'
import type { Recording } from '../idempotency/recording.js'
import { pageOf, positionOf, type PageRequest } from '../page.js'
import type { OutgoingGuard } from './outgoing-guard.js'
import { newSecret } from './signature.js'

export interface WebhooksOptions {
  database: DatabaseAccess
  sealer: Sealer
  guard: OutgoingGuard
}

/** Somewhere that events are sent to. */
export interface Webhook {
  id: string
  url: string
  /** Patterns of types, separated by commas; null: all. */
  types: string | null
  description: string
  state: 'active' | 'paused' | 'disabled'
  /** Why it is disabled. */
  reason: string
  owner: string
  createdAt: Date
  updatedAt: Date
}

export interface WebhookChanges {
  url?: string
  types?: string | null
  description?: string
  state?: 'active' | 'paused'
}

/** What was, or is to be, sent somewhere. */
export interface WebhookDelivery {
  id: string
  eventId: string
  type: string
  state: 'pending' | 'delivered' | 'failed'
  attempts: number
  status: number | null
  error: string | null
  createdAt: Date
  triedAt: Date | null
  nextAttemptAt: Date | null
}

/** What is told of one: everything but its secrets. */
const COLUMNS = SQL.unsafe('id, url, types, description, state, reason, owner, created_at, updated_at')
/** Most that there may be: each event is held against all of them. */
const MAX_WEBHOOKS = 100
/** Hours that the secret before signs as well. */
const OVERLAP = 24

const TooManyError = createError('ERR_CONFLICT', `There are ${MAX_WEBHOOKS} webhooks, and there may not be more: remove one first.`, 409)

/** The webhooks there are. They get the events that their makers might know of as they made them. */
export class Webhooks {
  readonly #options: WebhooksOptions

  constructor (options: WebhooksOptions) {
    this.#options = options
  }

  /** On behalf of a caller: what is not committed when they are gone is undone. */
  within (call: Call): Webhooks {
    return new Webhooks({ ...this.#options, database: this.#options.database.within(call) })
  }

  /** Answers the secret as well, which nobody is shown again. @throws UnsupportedHereError for a URL that may not be called */
  async create (maker: Principal, { url, types = null, description = '' }: WebhookChanges & { url: string }, recording?: Recording<Webhook & { secret: string }>): Promise<Webhook & { secret: string }> {
    const { database, guard, sealer } = this.#options
    if (!guard.isOpen) throw new UnsupportedHereError('Events are sent to nobody here: name the hosts that may be called in WEBHOOK_HOSTS, and start again.')
    if (maker.kind === 'valet_key') throw forbidden('A webhook outlives a valet key: make it with an API key.')
    const address = guard.check(url).href
    const id = randomUUID()
    const secret = newSecret()
    const kinds = [...KNOWN_TO.keys()].filter((kind) => mayKnowKind(maker, kind))
    return await database.transaction(async (transaction) => {
      await transaction.query('LOCK TABLE webhooks IN SHARE ROW EXCLUSIVE MODE')
      const { rows: [count] } = await transaction.query<{ count: string }>('SELECT count(*) FROM webhooks')
      if (Number(count?.count) >= MAX_WEBHOOKS) throw new TooManyError()
      const { rows } = await transaction.query<Row>(SQL`
        INSERT INTO webhooks (id, url, types, description, owner, kinds, secret)
        VALUES (${id}, ${address}, ${types}, ${description}, ${maker.id}, ${kinds}, ${sealer.seal(Buffer.from(secret), id)})
        RETURNING ${COLUMNS}`)
      const made = { ...webhookOf(rows[0]!), secret }
      await recording?.(transaction, made)
      return made
    })
  }

  /** The oldest first. */
  async list (): Promise<Webhook[]> {
    const { rows } = await this.#options.database.query<Row>(SQL`SELECT ${COLUMNS} FROM webhooks ORDER BY created_at, id`)
    return rows.map(webhookOf)
  }

  /** @throws NotFoundError */
  async get (id: string): Promise<Webhook> {
    const { rows: [row] } = await this.#options.database.query<Row>(SQL`
      SELECT ${COLUMNS} FROM webhooks WHERE id = ${id}`)
    if (row === undefined) throw missing(id)
    return webhookOf(row)
  }

  /** Changes what is given. One that is made active again, or leads elsewhere, is tried again at once. */
  async change (id: string, { url, types, description, state }: WebhookChanges): Promise<Webhook> {
    const address = url === undefined ? null : this.#options.guard.check(url).href
    const { rows: [row] } = await this.#options.database.query<Row>(SQL`
      UPDATE webhooks SET
        url = coalesce(${address}, url), types = CASE WHEN ${types !== undefined}::boolean THEN ${types ?? null} ELSE types END, description = coalesce(${description ?? null}, description),
        state = coalesce(${state ?? null}, state), reason = CASE WHEN ${state ?? null}::text IS NULL THEN reason ELSE '' END, not_before = now(), updated_at = now()
      WHERE id = ${id} RETURNING ${COLUMNS}`)
    if (row === undefined) throw missing(id)
    return webhookOf(row)
  }

  /** Ends it, with what was still to be sent. */
  async remove (id: string): Promise<void> {
    const { rowCount } = await this.#options.database.query(SQL`DELETE FROM webhooks WHERE id = ${id}`)
    if (rowCount === 0) throw missing(id)
  }

  /** Gives it a new secret; the one before signs as well for a day, so that the receiver can change over. */
  async rotate (id: string, recording?: Recording<Webhook & { secret: string }>): Promise<Webhook & { secret: string }> {
    const { database, sealer } = this.#options
    const secret = newSecret()
    return await database.transaction(async (transaction) => {
      const { rows: [row] } = await transaction.query<Row>(SQL`
        UPDATE webhooks SET previous_secret = secret, previous_until = now() + make_interval(hours => ${OVERLAP}), secret = ${sealer.seal(Buffer.from(secret), id)}, updated_at = now()
        WHERE id = ${id} RETURNING ${COLUMNS}`)
      if (row === undefined) throw missing(id)
      const rotated = { ...webhookOf(row), secret }
      await recording?.(transaction, rotated)
      return rotated
    })
  }

  /** What was sent there, or is to be, the newest first. @throws NotFoundError when there is no such webhook */
  async deliveries (id: string, { limit = 100, cursor, state }: PageRequest & { state?: WebhookDelivery['state'] | undefined }): Promise<{ deliveries: WebhookDelivery[], next_cursor?: string }> {
    await this.get(id)
    const { rows } = await this.#options.database.query<DeliveryRow>(SQL`
      SELECT id::text AS id, event_id, type, state, attempts, status, error, created_at, tried_at, next_attempt_at FROM webhook_deliveries
      WHERE webhook_id = ${id} AND id < ${positionOf(cursor, 'newest')}::bigint AND (${state ?? null}::text IS NULL OR state = ${state ?? null})
      ORDER BY webhook_deliveries.id DESC LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, (row) => row.id)
    return { deliveries: page.rows.map(deliveryOf), ...page.next }
  }

  /** Has it sent again, from the first attempt on, whatever became of it. @throws NotFoundError */
  async resend (id: string, delivery: string, recording?: Recording<void>): Promise<void> {
    await this.#options.database.transaction(async (transaction) => {
      const { rowCount } = await transaction.query(SQL`
        UPDATE webhook_deliveries SET state = 'pending', attempts = 0, next_attempt_at = now() WHERE id = ${delivery}::bigint AND webhook_id = ${id}`)
      if (rowCount === 0) throw new NotFoundError(`There is no delivery ${delivery} of this webhook: GET /webhooks/${id}/deliveries lists those there are.`)
      await recording?.(transaction)
    })
  }
}

function missing (id: string): Error {
  return new NotFoundError(`There is no webhook ${id}: GET /webhooks lists those there are.`)
}

interface Row { id: string, url: string, types: string | null, description: string, state: Webhook['state'], reason: string, owner: string, created_at: Date, updated_at: Date }
interface DeliveryRow {
  id: string, event_id: string, type: string, state: WebhookDelivery['state'], attempts: number, status: number | null, error: string | null, created_at: Date, tried_at: Date | null, next_attempt_at: Date | null
}

function webhookOf ({ created_at: createdAt, updated_at: updatedAt, ...rest }: Row): Webhook {
  return { ...rest, createdAt, updatedAt }
}

function deliveryOf ({ event_id: eventId, created_at: createdAt, tried_at: triedAt, next_attempt_at: nextAttemptAt, ...rest }: DeliveryRow): WebhookDelivery {
  return { ...rest, eventId, createdAt, triedAt, nextAttemptAt: rest.state === 'pending' ? nextAttemptAt : null }
}
