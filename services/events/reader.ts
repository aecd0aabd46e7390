import SQL from '@nearform/sql'
import type { Database, Queryable } from '../database.js'
import type { EventPosition } from './event.js'
import type { Outbox, RecordedEvent } from './outbox.js'

/**
 * A place in the outbox that is kept in the database, under a name. Of several processes that read under one name one does at a time,
 * and the next goes on where it stopped.
 */
export class Reader {
  readonly #database: Database
  readonly #outbox: Outbox
  readonly #name: string
  /** In this life of the process. */
  #begun: string | undefined
  /** Whether there was an event to begin when it was last asked. */
  #isBusy = true

  constructor (database: Database, outbox: Outbox, name: string) {
    this.#database = database
    this.#outbox = outbox
    this.#name = name
  }

  /** Begins at the first event there is, unless it has begun already. */
  async prepare (): Promise<void> {
    await this.#database.query(SQL`INSERT INTO event_readers (name) VALUES (${this.#name}) ON CONFLICT DO NOTHING`)
  }

  /**
   * Takes the next events and goes on behind them once `work` is through; answers how many there were, undefined when another process is
   * at it. `work` holds a connection of the database: it does little, and with others than the database.
   */
  async advance (limit: number, work: (events: RecordedEvent[]) => Promise<void>): Promise<number | undefined> {
    return await this.#database.transaction(async (transaction) => {
      const place = await this.#lock(transaction)
      if (place === undefined) return undefined
      const events = await this.#outbox.after(place, limit, transaction)
      const last = events.at(-1)
      if (last === undefined) return 0
      await work(events)
      await this.#move(transaction, last)
      return events.length
    })
  }

  /**
   * The next event, noted as begun for the so-manieth time; undefined when there is none. For one process alone: what it has begun and could not
   * finish, since something was away, it may begin again without that being counted.
   */
  async begin (): Promise<{ recorded: RecordedEvent, attempts: number } | undefined> {
    // A transaction is for more than a look.
    if (!this.#isBusy && !await this.#isBehind()) return undefined
    const begun = await this.#database.transaction(async (transaction) => {
      const place = await this.#lock(transaction)
      if (place === undefined) return undefined
      const [recorded] = await this.#outbox.after(place, 1, transaction)
      if (recorded === undefined) return undefined
      const { rows: [row] } = await transaction.query<{ attempts: number }>(SQL`
        UPDATE event_readers SET begun = ${recorded.event.id}, attempts = CASE WHEN begun = ${recorded.event.id} THEN attempts + ${this.#begun === recorded.event.id ? 0 : 1} ELSE 1 END
        WHERE name = ${this.#name} RETURNING attempts`)
      return { recorded, attempts: row?.attempts ?? 1 }
    })
    this.#begun = begun?.recorded.event.id
    this.#isBusy = begun !== undefined
    return begun
  }

  /** Goes on behind an event that was begun. */
  async finish (recorded: RecordedEvent): Promise<void> {
    await this.#move(this.#database, recorded)
  }

  /** Seconds since the first event that it has still to read was recorded; 0 when it has read all. Who has never begun has all of them to read. */
  async lag (): Promise<number> {
    const { rows: [row] } = await this.#database.query<{ lag: number | null }>(SQL`
      SELECT extract(epoch FROM now() - time)::float8 AS lag FROM events
      WHERE (xid, position) > (coalesce((SELECT xid FROM event_readers WHERE name = ${this.#name}), '0'), coalesce((SELECT position FROM event_readers WHERE name = ${this.#name}), 0))
      ORDER BY xid, position LIMIT 1`)
    return Math.max(0, row?.lag ?? 0)
  }

  /** Whether anything was recorded behind the place, if only by a transaction that others have still to wait for. */
  async #isBehind (): Promise<boolean> {
    const { rowCount } = await this.#database.query(SQL`
      SELECT FROM event_readers reader JOIN events event ON (event.xid, event.position) > (reader.xid, reader.position)
      WHERE reader.name = ${this.#name} LIMIT 1`)
    return rowCount !== 0
  }

  async #lock (transaction: Queryable): Promise<EventPosition | undefined> {
    const { rows: [row] } = await transaction.query<EventPosition>(SQL`
      SELECT xid::text AS xid, position::text AS position FROM event_readers WHERE name = ${this.#name} FOR UPDATE SKIP LOCKED`)
    return row
  }

  async #move (database: Queryable, { xid, position }: EventPosition): Promise<void> {
    await database.query(SQL`
      UPDATE event_readers SET xid = ${xid}::xid8, position = ${position}::bigint, begun = NULL, attempts = 0 WHERE name = ${this.#name}`)
  }
}
