import SQL from '@nearform/sql'
import type { Database } from '../database.js'
import { NotFoundError } from '../errors.js'
import type { Recording } from '../idempotency/recording.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from '../page.js'

/** An event that a consumer has given up. */
export interface DeadLetter {
  id: string
  consumer: string
  attempts: number
  error: string
  failedAt: Date
  event: { id: string, type: string, subject: string, time: Date, data: unknown }
}

/** Events that consumers have given up, to be looked at and tried again by a person. */
export class DeadLetters {
  readonly #database: Pick<Database, 'query' | 'transaction'>

  constructor (database: Pick<Database, 'query' | 'transaction'>) {
    this.#database = database
  }

  /** The oldest first. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest): Promise<{ letters: DeadLetter[], next_cursor?: string }> {
    const { rows } = await this.#database.query<Row>(SQL`
      SELECT failure.id::text AS id, consumer, attempts, error, failed_at, event.id AS event_id, type, subject, time, data
      FROM event_failures failure JOIN events event ON event.id = failure.event_id
      WHERE next_attempt_at IS NULL AND failure.id > ${positionOf(cursor)}::bigint ORDER BY failure.id LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ id }) => id)
    return {
      letters: page.rows.map(({ id, consumer, attempts, error, failed_at: failedAt, event_id: eventId, type, subject, time, data }) => ({
        id, consumer, attempts, error, failedAt, event: { id: eventId, type, subject, time, data: JSON.parse(data) as unknown }
      })),
      ...page.next
    }
  }

  /** How many there are. */
  async count (): Promise<number> {
    const { rows: [row] } = await this.#database.query<{ count: number }>(SQL`SELECT count(*)::float8 AS count FROM event_failures WHERE next_attempt_at IS NULL`)
    return row?.count ?? 0
  }

  /** Has it tried again from the first attempt on. @throws NotFoundError when it is no dead letter (any more) */
  async retry (id: string, recording?: Recording<void>): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      const { rowCount } = await transaction.query(SQL`
        UPDATE event_failures SET attempts = 0, next_attempt_at = now() WHERE id = ${id}::bigint AND next_attempt_at IS NULL`)
      if (rowCount === 0) throw missing(id)
      await recording?.(transaction)
    })
  }

  /** Gives it up for good: its consumer counts it as done. @throws NotFoundError when it is no dead letter (any more) */
  async remove (id: string): Promise<void> {
    const { rowCount } = await this.#database.query(SQL`
      WITH removed AS (DELETE FROM event_failures WHERE id = ${id}::bigint AND next_attempt_at IS NULL RETURNING consumer, event_id)
      INSERT INTO event_inbox (consumer, event_id) SELECT consumer, event_id FROM removed ON CONFLICT DO NOTHING`)
    if (rowCount === 0) throw missing(id)
  }
}

function missing (id: string): Error {
  return new NotFoundError(`There is no dead letter ${id}: GET /events/dead-letters lists those there are.`)
}

interface Row {
  id: string
  consumer: string
  attempts: number
  error: string
  failed_at: Date
  event_id: string
  type: string
  subject: string
  time: Date
  data: string
}
