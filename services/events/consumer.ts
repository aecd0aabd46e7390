import { setTimeout as delay } from 'node:timers/promises'
import SQL from '@nearform/sql'
import type { Database, Queryable } from '../database.js'
import type { Event } from './event.js'

/** Something that is done about events. */
export interface Consumer {
  /** Stays the same over releases: what was done is known by it. */
  readonly name: string
  /**
   * Milliseconds after an event before which it is not given: for what its maker does as well, and then says so (`Outbox.settle`).
   * Default 0.
   */
  readonly delay?: number
  /** Whether anything is to be done about the type. */
  handles (type: string): boolean
  /**
   * Does it. What it writes through `transaction` is written once, however often the event comes; what it does elsewhere must bear being
   * done again. Throwing means to try again later.
   */
  handle (event: Event, transaction: Queryable): Promise<void>
}

/** `unknown`: the outbox has no such event, or none any more. */
export type Outcome = 'done' | 'done before' | 'failed' | 'dead' | 'unknown'

/** Runs one attempt. Default: just that. */
export type Around = (consumer: string, event: Event, run: () => Promise<Outcome>) => Promise<Outcome>

export interface DeliveryOptions {
  database: Database
  log: { warn (detail: object, message: string): void }
  /** Attempts after which an event is a dead letter. Default 5. */
  maxAttempts?: number
  /** Milliseconds before the second attempt at most; twice as many before each further one. Default 200. */
  backOff?: number
  /** Told of dead letters. */
  onDead?: (consumer: string, event: Event, error: string) => Promise<void> | void
  around?: Around
}

/** The longest pause between two attempts, in milliseconds. */
const LONGEST_PAUSE = 60_000
/** Characters of an error's words that are kept. */
const LONGEST_ERROR = 500

/**
 * Gives events to consumers, each once as far as its effects go: the inbox entry and the effect are one transaction (idempotent
 * consumer). What fails is tried again with exponential back-off and full jitter, and set aside as a dead letter when that is no use.
 */
export class Delivery {
  readonly #options: Required<DeliveryOptions>

  constructor (options: DeliveryOptions) {
    this.#options = { maxAttempts: 5, backOff: 200, onDead: () => {}, around: async (_consumer, _event, run) => await run(), ...options }
  }

  get maxAttempts (): number { return this.#options.maxAttempts }

  /**
   * Never rejects for what the consumer does; rejects when the database cannot be had, or the wait for the event's time is ended by
   * `signal`, and then nothing is done.
   * @param attempts this one included, where that is noted already
   */
  async deliver (consumer: Consumer, event: Event, signal?: AbortSignal, attempts?: number): Promise<Outcome> {
    const wait = (consumer.delay ?? 0) - (Date.now() - Date.parse(event.time))
    if (wait > 0) await delay(Math.min(wait, consumer.delay ?? 0), undefined, signal === undefined ? {} : { signal })
    return consumer.handles(event.type)
      ? await this.#options.around(consumer.name, event, async () => await this.#attempt(consumer, event, attempts))
      : await this.#attempt(consumer, event, attempts)
  }

  async #attempt (consumer: Consumer, event: Event, attempts: number | undefined): Promise<Outcome> {
    let fault: unknown
    try {
      return await this.#options.database.transaction(async (transaction) => {
        fault = undefined // of an attempt that the database had to have again
        const { rowCount } = await transaction.query(SQL`
          INSERT INTO event_inbox (consumer, event_id) SELECT ${consumer.name}::text, id FROM events WHERE id = ${event.id} ON CONFLICT DO NOTHING`)
        if (rowCount === 0) return await this.#doneOrUnknown(consumer.name, event, transaction)
        if (consumer.handles(event.type)) {
          await consumer.handle(event, transaction).catch((error: unknown) => {
            fault = error
            throw error
          })
        }
        await transaction.query(SQL`DELETE FROM event_failures WHERE consumer = ${consumer.name} AND event_id = ${event.id}`)
        return 'done'
      })
    } catch (error) {
      // What the database itself refuses is no fault of the event.
      if (fault === undefined || (fault as { statusCode?: number }).statusCode === 503) throw error
      return await this.fail(consumer.name, event, fault, attempts === undefined ? {} : { attempts })
    }
  }

  async #doneOrUnknown (consumer: string, event: Event, transaction: Queryable): Promise<Outcome> {
    const { rowCount } = await transaction.query(SQL`SELECT FROM event_inbox WHERE consumer = ${consumer} AND event_id = ${event.id}`)
    return rowCount === 0 ? this.#unknown(consumer, event) : 'done before'
  }

  /** A stream may outlive the database that it was filled from: nothing can be noted of such an event, so it would come for ever. */
  #unknown (consumer: string, event: Event): Outcome {
    this.#options.log.warn({ consumer, event: event.id, type: event.type }, 'an event is passed over: the database does not have it')
    return 'unknown'
  }

  /**
   * Notes an attempt that failed. `isFinal` makes it a dead letter whatever the count; `attempts` is that count where it is known
   * otherwise than from the failures before.
   */
  async fail (consumer: string, event: Event, error: unknown, { isFinal = false, attempts: known }: { isFinal?: boolean, attempts?: number } = {}): Promise<Outcome> {
    const { database, log, maxAttempts, backOff, onDead } = this.#options
    const words = (error instanceof Error ? error.message : String(error)).slice(0, LONGEST_ERROR)
    const first = known ?? 1
    const pause = isFinal || first >= maxAttempts ? null : Math.random() * Math.min(LONGEST_PAUSE, backOff * 2 ** (first - 1)) / 1000
    // In one statement: without a next attempt it is a dead letter, for whoever looks and after a crash.
    const { rows: [row] } = await database.query<{ attempts: number }>(SQL`
      INSERT INTO event_failures AS failure (consumer, event_id, attempts, error, next_attempt_at)
      SELECT ${consumer}::text, id, ${first}::int, ${words}::text, now() + make_interval(secs => ${pause}::float8) FROM events WHERE id = ${event.id}
      ON CONFLICT (consumer, event_id) DO UPDATE SET (attempts, error, failed_at, next_attempt_at) = (
        SELECT tried, excluded.error, now(), CASE WHEN NOT ${isFinal}::boolean AND tried < ${maxAttempts}::int
          THEN now() + make_interval(secs => random() * least(${LONGEST_PAUSE}::float8, ${backOff}::float8 * 2 ^ least(tried - 1, 30)) / 1000) END
        FROM (SELECT coalesce(${known ?? null}::int, failure.attempts + 1) AS tried) AS this)
      RETURNING attempts`)
    if (row === undefined) return this.#unknown(consumer, event)
    const { attempts } = row
    if (isFinal || attempts >= maxAttempts) {
      log.warn({ consumer, event: event.id, type: event.type, attempts, err: error }, 'an event is set aside: GET /events/dead-letters lists those that are')
      await onDead(consumer, event, words)
      return 'dead'
    }
    return 'failed'
  }

  /**
   * Events whose next attempt is due, by consumer, each with the count of attempts, this one included: should the process end of it, it was
   * one. Whoever takes them has them for half a minute.
   */
  async due (limit: number): Promise<{ consumer: string, eventId: string, attempts: number }[]> {
    const { database } = this.#options
    // Mostly there is none, and taking none costs ten times as much as seeing that.
    const { rowCount } = await database.query(SQL`SELECT FROM event_failures WHERE next_attempt_at <= now() LIMIT 1`)
    if (rowCount === 0) return []
    const { rows } = await database.query<{ consumer: string, event_id: string, attempts: number }>(SQL`
      UPDATE event_failures SET next_attempt_at = now() + interval '30 seconds', attempts = attempts + 1 WHERE id IN (
        SELECT id FROM event_failures WHERE next_attempt_at <= now() ORDER BY next_attempt_at LIMIT ${limit} FOR UPDATE SKIP LOCKED)
      RETURNING consumer, event_id, attempts`)
    return rows.map(({ consumer, event_id: eventId, attempts }) => ({ consumer, eventId, attempts }))
  }

  /** Takes back that an attempt was made: what it needed was away. It is due again soon. */
  async putBack (consumer: string, eventId: string): Promise<void> {
    await this.#options.database.query(SQL`
      UPDATE event_failures SET attempts = attempts - 1, next_attempt_at = now() + interval '1 second'
      WHERE consumer = ${consumer} AND event_id = ${eventId} AND next_attempt_at IS NOT NULL`)
  }
}
