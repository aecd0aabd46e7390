import SQL from '@nearform/sql'
import type { Queryable, Transaction } from '../database.js'
import { type Event, eventId, type EventPosition, type NewEvent } from './event.js'
import { Turns } from './turns.js'

export interface OutboxOptions {
  database: Queryable
  /** Told soon after an event was recorded here, when its transaction may be through. */
  onRecorded?: () => void
  /** Told when what was settled could not be noted. */
  onFault?: (error: unknown) => void
  /** The span under way, as in the W3C header; undefined where nothing is traced. */
  traceparent?: () => string | undefined
}

export interface RecordedEvent extends EventPosition {
  readonly event: Event
  /** Characters of its data as JSON. */
  readonly size: number
}

/** Milliseconds after which the transaction of an event is likely to be through. */
const COMMITTED_AFTER = 5
/** Milliseconds for which what is settled is gathered, and after which nobody settles an event any more. */
const SETTLED_AFTER = 50
const OPEN_FOR = 60_000

/**
 * Events in the database in which the things live that they are about: recorded in one transaction with what happened, so that neither
 * is there without the other, and read in an order that skips none.
 */
export class Outbox {
  readonly #options: OutboxOptions
  readonly #turns = new Turns()
  #telling: NodeJS.Timeout | undefined
  /** Recorded here and not settled yet, by subject, the oldest first. */
  readonly #open = new Map<string, { id: string, at: number }[]>()
  readonly #settled: { consumer: string, id: string }[] = []
  #settling: NodeJS.Timeout | undefined

  constructor (options: OutboxOptions) {
    this.#options = options
  }

  /**
   * Runs work that records about a subject, from before it has a connection: one at a time in this process. The count of a subject is
   * locked until the transaction ends, and those who wait for it there would have all connections soon.
   */
  async inTurn<T> (subject: string, work: () => Promise<T>, signal?: AbortSignal): Promise<T> { return await this.#turns.take(subject, work, signal) }

  /** Records an event in the caller's transaction. What others may record about the same subject at the same time does so `inTurn`. */
  async record (transaction: Queryable | Transaction, { type, subject, data }: NewEvent): Promise<Event> {
    const id = eventId()
    const traceparent = this.#options.traceparent?.() ?? null
    const { rows: [row] } = await transaction.query<{ time: Date, sequence: string, xid: string }>(SQL`
      WITH counted AS (
        INSERT INTO event_subjects (subject, sequence, at) VALUES (${subject}, 1, clock_timestamp())
        ON CONFLICT (subject) DO UPDATE SET sequence = event_subjects.sequence + 1, at = clock_timestamp() RETURNING sequence, at)
      INSERT INTO events (id, type, subject, data, sequence, time, traceparent)
      SELECT ${id}::uuid, ${type}::text, ${subject}::text, ${JSON.stringify(data ?? null)}::text, sequence, at, ${traceparent}::text FROM counted
      RETURNING time, sequence::text AS sequence, xid::text AS xid`)
    this.#remember(subject, id)
    if ('proveBy' in transaction) {
      transaction.proveBy({ id: row?.xid ?? null, statement: SQL`SELECT FROM events WHERE id = ${id}` })
      transaction.onFailure(() => { this.#forget(subject, id) })
    }
    this.#telling ??= setTimeout(() => {
      this.#telling = undefined
      this.#options.onRecorded?.()
    }, COMMITTED_AFTER).unref()
    return eventOf({ id, type, subject, data: JSON.stringify(data ?? null), traceparent, ...row as { time: Date, sequence: string } })
  }

  /**
   * Those after a position, in order. Only those of transactions before every one that is still under way are given: a transaction that
   * was begun earlier and commits later would otherwise put its events behind the reader.
   */
  async after ({ xid, position }: EventPosition, limit: number, database: Queryable = this.#options.database): Promise<RecordedEvent[]> {
    const { rows } = await database.query<Row>(SQL`
      SELECT id, type, subject, sequence::text AS sequence, data, traceparent, time, xid::text AS xid, position::text AS position FROM events
      WHERE (xid, position) > (${xid}::xid8, ${position}::bigint) AND xid < pg_snapshot_xmin(pg_current_snapshot())
      ORDER BY events.xid, events.position LIMIT ${limit}`)
    return rows.map(recordedOf)
  }

  /** The last that a reader can be given; undefined when there is none. */
  async last (): Promise<EventPosition | undefined> {
    const { rows: [row] } = await this.#options.database.query<EventPosition>(SQL`
      SELECT xid::text AS xid, position::text AS position FROM events
      WHERE xid < pg_snapshot_xmin(pg_current_snapshot()) ORDER BY events.xid DESC, events.position DESC LIMIT 1`)
    return row
  }

  /** Where an event stands; undefined when it is not there, or not any more. */
  async positionOf (id: string): Promise<EventPosition | undefined> {
    const { rows: [row] } = await this.#options.database.query<EventPosition>(SQL`
      SELECT xid::text AS xid, position::text AS position FROM events WHERE id = ${id}`)
    return row
  }

  async get (id: string): Promise<Event | undefined> {
    const { rows: [row] } = await this.#options.database.query<Told>(SQL`
      SELECT id, type, subject, sequence::text AS sequence, data, traceparent, time FROM events WHERE id = ${id}`)
    return row && eventOf(row)
  }

  /** Those after a position that a consumer has neither done nor failed at, recorded until then; in order. */
  async unhandled (consumer: string, { xid, position }: EventPosition, until: Date, limit: number): Promise<RecordedEvent[]> {
    const { rows } = await this.#options.database.query<Row>(SQL`
      SELECT id, type, subject, sequence::text AS sequence, data, traceparent, time, xid::text AS xid, position::text AS position FROM events event
      WHERE time < ${until} AND (event.xid, event.position) > (${xid}::xid8, ${position}::bigint)
        AND NOT EXISTS (SELECT FROM event_inbox WHERE consumer = ${consumer} AND event_id = event.id)
        AND NOT EXISTS (SELECT FROM event_failures WHERE consumer = ${consumer} AND event_id = event.id)
      ORDER BY event.xid, event.position LIMIT ${limit}`)
    return rows.map(recordedOf)
  }

  /** Removes events that were recorded before, but for those that one of the consumers has still to do, or to do again. Answers how many. */
  async prune (before: Date, limit: number, consumers: readonly string[]): Promise<number> {
    const { rowCount } = await this.#options.database.query(SQL`
      DELETE FROM events WHERE id IN (
        SELECT id FROM events event WHERE time < ${before} AND NOT EXISTS (SELECT FROM event_failures WHERE event_id = event.id)
          AND NOT EXISTS (SELECT FROM unnest(${[...consumers]}::text[]) AS consumer (name)
            WHERE NOT EXISTS (SELECT FROM event_inbox WHERE consumer = consumer.name AND event_id = event.id))
        ORDER BY time LIMIT ${limit})`)
    const pruned = rowCount ?? 0
    // A subject is counted on while one of its events is kept. None is as late as `before`: `at` is the time of the last. Those that are
    // earlier are few now, and found by their time: that needs no index by subject, which each event would have to be put into.
    if (pruned < limit) {
      await this.#options.database.query(SQL`
        DELETE FROM event_subjects WHERE at < ${before}
          AND NOT EXISTS (SELECT FROM events WHERE time < ${before} AND events.subject = event_subjects.subject)`)
    }
    return pruned
  }

  /**
   * Notes that whoever recorded an event about the subject here has done by itself what the consumer would do about it. Without that the
   * consumer does it again: harmless, but a cache would lose what was cached since. Nothing waits for the note.
   */
  settle (consumer: string, subject: string): void {
    const events = this.#open.get(subject)
    const event = events?.shift()
    if (events?.length === 0) this.#open.delete(subject)
    if (event === undefined) return
    this.#settled.push({ consumer, id: event.id })
    this.#settling ??= setTimeout(() => { this.#noteSettled().catch((error: unknown) => { this.#options.onFault?.(error) }) }, SETTLED_AFTER).unref()
  }

  async close (): Promise<void> {
    clearTimeout(this.#telling)
    await this.#noteSettled().catch((error: unknown) => { this.#options.onFault?.(error) })
  }

  async #noteSettled (): Promise<void> {
    clearTimeout(this.#settling)
    this.#settling = undefined
    const settled = this.#settled.splice(0)
    if (settled.length === 0) return
    // Those of transactions that were rolled back are not there.
    await this.#options.database.query(SQL`
      INSERT INTO event_inbox (consumer, event_id)
      SELECT consumer, event.id FROM unnest(${settled.map(({ consumer }) => consumer)}::text[], ${settled.map(({ id }) => id)}::uuid[]) AS settled (consumer, id)
      JOIN events event USING (id) ON CONFLICT DO NOTHING`)
  }

  /** Its transaction was undone. */
  #forget (subject: string, id: string): void {
    const events = this.#open.get(subject)?.filter((event) => event.id !== id)
    if (events === undefined) return
    if (events.length === 0) this.#open.delete(subject)
    else this.#open.set(subject, events)
  }

  #remember (subject: string, id: string): void {
    const now = performance.now()
    const events = this.#open.get(subject) ?? []
    this.#open.delete(subject)
    this.#open.set(subject, events)
    events.push({ id, at: now })
    // What nobody settles does not gather under a subject that is always spoken of.
    while (now - events[0]!.at >= OPEN_FOR) events.shift()
    for (const [name, [oldest]] of this.#open) {
      if (oldest !== undefined && now - oldest.at < OPEN_FOR) break
      this.#open.delete(name)
    }
  }
}

/** `sequence` is null in those that an earlier version recorded. */
interface Told { id: string, type: string, subject: string, sequence: string | null, data: string, traceparent: string | null, time: Date }
interface Row extends Told { xid: string, position: string }

function recordedOf (row: Row): RecordedEvent {
  return { event: eventOf(row), xid: row.xid, position: row.position, size: row.data.length }
}

function eventOf ({ id, type, subject, sequence, data, traceparent, time }: Told): Event {
  return {
    specversion: '1.0',
    id,
    source: '/larder',
    type,
    time: time.toISOString(),
    subject,
    ...(sequence !== null && { sequence: Number(sequence) }),
    ...(traceparent !== null && { traceparent }),
    datacontenttype: 'application/json',
    data: JSON.parse(data) as unknown
  }
}
