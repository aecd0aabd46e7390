import SQL from '@nearform/sql'
import type { Sealer } from '../access/valet/sealer.js'
import type { Database } from '../database.js'
import type { Event } from '../events/event.js'
import { messageOf } from './message.js'
import type { Sender, Sent } from './sender.js'
import { signed } from './signature.js'

export interface CourierOptions {
  database: Database
  sealer: Sealer
  sender: Pick<Sender, 'post'>
  /** The event, as long as it is kept. */
  eventOf: (id: string) => Promise<Event | undefined>
  /** Whether who made a webhook may still know what it tells. */
  isHeld: (owner: string) => Promise<boolean>
  log: { warn (detail: object, message: string): void }
  /** Milliseconds before each further attempt. Default: over three days, as Standard Webhooks 1.0.0 suggests. */
  schedule?: readonly number[]
  /** Told of every attempt. */
  onAttempt?: (outcome: Outcome) => void
}

export const OUTCOMES = ['delivered', 'failed', 'given_up'] as const
export type Outcome = typeof OUTCOMES[number]

const SECOND = 1000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE
const SCHEDULE = [5 * SECOND, 5 * MINUTE, 30 * MINUTE, 2 * HOUR, 5 * HOUR, 10 * HOUR, 14 * HOUR, 20 * HOUR, 24 * HOUR]
/** The longest that a receiver can have itself left alone, in seconds. */
const LONGEST_PATIENCE = 86_400
/** Answers with which a receiver says that it has too much to do. */
const BUSY = new Set([429, 502, 503, 504])
const GONE = 410
/** Deliveries to one webhook in one turn: one receiver that is slow leaves room for the others. */
const AT_ONCE = 5
/** Seconds after which what a worker has taken and not finished goes to another; longer than a receiver may take. */
const CLAIM = 60

/**
 * Sends what is due. Every delivery is sent at least once: a process that ends after sending, and before it could note that, leaves it to
 * the next one, under the same `webhook-id`. Several couriers never take the same one at a time.
 */
export class Courier {
  readonly #options: Required<CourierOptions>

  constructor (options: CourierOptions) {
    this.#options = { schedule: SCHEDULE, onAttempt: () => {}, ...options }
  }

  /** One turn; answers whether there may be more to do. */
  async turn (stopping: AbortSignal): Promise<boolean> {
    const due = await this.#take()
    await Promise.all(due.map(async (one) => { await this.#deliver(one, stopping) }))
    return due.length > 0
  }

  async #take (): Promise<Due[]> {
    const { rows } = await this.#options.database.query<Due>(SQL`
      UPDATE webhook_deliveries delivery SET next_attempt_at = now() + make_interval(secs => ${CLAIM}), attempts = attempts + 1, tried_at = now()
      FROM webhooks webhook WHERE webhook.id = delivery.webhook_id AND delivery.id IN (
        SELECT one.id FROM webhooks CROSS JOIN LATERAL (
          SELECT id FROM webhook_deliveries WHERE webhook_id = webhooks.id AND state = 'pending' AND next_attempt_at <= now()
          ORDER BY next_attempt_at LIMIT ${AT_ONCE} FOR UPDATE SKIP LOCKED
        ) AS one WHERE webhooks.state = 'active' AND webhooks.not_before <= now())
      RETURNING delivery.id::text AS id, delivery.webhook_id, delivery.event_id, delivery.attempts, webhook.url, webhook.owner, webhook.secret,
        CASE WHEN webhook.previous_until > now() THEN webhook.previous_secret END AS previous_secret`)
    return rows
  }

  async #deliver (due: Due, stopping: AbortSignal): Promise<void> {
    const { eventOf, isHeld, sender } = this.#options
    if (!await isHeld(due.owner)) return await this.#disable(due, 'The API key that it was made with is revoked or has expired')
    const event = await eventOf(due.event_id)
    if (event === undefined) return await this.#note(due, { error: 'The event is not kept any more' }, true)
    const secrets = this.#secretsOf(due)
    if (secrets.length === 0) return await this.#disable(due, 'Its secret was sealed under another SECRET_KEY: rotate it')
    const body = messageOf(event)
    const sent = await sender.post(due.url, body, signed(event.id, Math.floor(Date.now() / SECOND), body, secrets), stopping)
    // Nobody can say whether it arrived: whoever comes next sends it again.
    if (sent.status === undefined && stopping.aborted) return await this.#putBack(due)
    if (sent.status === GONE) return await this.#disable(due, 'The receiver answered that it is gone (410)')
    await this.#note(due, sent)
  }

  #secretsOf ({ webhook_id: id, secret, previous_secret: previous }: Due): string[] {
    return [secret, previous].flatMap((sealed) => {
      const opened = sealed === null ? undefined : this.#options.sealer.open(sealed, id)
      return opened === undefined ? [] : [opened.toString()]
    })
  }

  async #note (due: Due, { status, retryAfter, error }: Sent, isFinal = false): Promise<void> {
    const { database, schedule, onAttempt, log } = this.#options
    const isDelivered = status !== undefined && status >= 200 && status < 300
    const pause = schedule[due.attempts - 1]
    const isOver = isDelivered || isFinal || pause === undefined
    const patience = !isOver && status !== undefined && BUSY.has(status) ? Math.min(LONGEST_PATIENCE, retryAfter ?? 0) : 0
    const next = isOver ? null : Math.max(patience, jittered(pause) / SECOND)
    const words = isDelivered ? null : error ?? `The receiver answered with ${status}`
    await database.query(SQL`
      WITH noted AS (
        UPDATE webhook_deliveries SET state = ${isDelivered ? 'delivered' : isOver ? 'failed' : 'pending'}, status = ${status ?? null}, error = ${words},
          next_attempt_at = now() + make_interval(secs => ${next}::float8)
        WHERE id = ${due.id}::bigint RETURNING webhook_id)
      UPDATE webhooks SET not_before = greatest(not_before, now() + make_interval(secs => ${patience}::float8)) FROM noted WHERE webhooks.id = noted.webhook_id AND ${patience}::float8 > 0`)
    onAttempt(isDelivered ? 'delivered' : isOver ? 'given_up' : 'failed')
    if (isOver && !isDelivered) log.warn({ webhook: due.webhook_id, event: due.event_id, attempts: due.attempts, status }, 'an event could not be sent to a webhook, and is given up')
  }

  async #disable (due: Due, reason: string): Promise<void> {
    const { database, log } = this.#options
    await database.query(SQL`UPDATE webhooks SET state = 'disabled', reason = ${reason}, updated_at = now() WHERE id = ${due.webhook_id}`)
    log.warn({ webhook: due.webhook_id, reason }, 'a webhook is disabled')
    await this.#note(due, { error: reason }, true)
  }

  async #putBack ({ id }: Due): Promise<void> {
    await this.#options.database.query(SQL`UPDATE webhook_deliveries SET attempts = attempts - 1, next_attempt_at = now() WHERE id = ${id}::bigint`)
  }
}

interface Due { id: string, webhook_id: string, event_id: string, attempts: number, url: string, owner: string, secret: Buffer, previous_secret: Buffer | null }

/** Up to a tenth more, so that what failed together is not tried again together. */
function jittered (pause: number): number {
  return pause * (1 + Math.random() / 10)
}
