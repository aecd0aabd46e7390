import type { Now } from '../clock.js'
import type { StoredEntry } from '../entry.js'
import { RecordFormat } from '../record-format.js'
import type { BreakerState, BreakerSwitch } from '../breaker.js'
import type { Connections } from '../backends/database/connections.js'
import { columnOf, keyIn, Tables } from '../backends/database/tables.js'
import { type DurableFacts, type DurableTier, type DurableWrite, TOMBSTONE_LIFETIME } from './tier.js'

/** Rows that one pass of a sweep removes at once. */
const SWEPT = 1000
/** Statements that may run at once: most of what comes is written in batches. */
const CONCURRENCY = 2
const AWAY = 'The database behind the strategies write_through and write_behind does not answer: try again in a moment; if it stays so, check DATABASE_URL and the server.'

const LIVE = 'space = $1 AND head IS NOT NULL'
const FACTS = 'namespace, key, seq::float8 AS seq, head, octet_length(value) AS length'
const TEXTS = {
  getMany: `SELECT found.* FROM unnest($3::text[]) AS wanted_key CROSS JOIN LATERAL (
    SELECT namespace, key, head, value FROM cache_durable WHERE ${LIVE} AND namespace = $2 AND key = wanted_key LIMIT 1) AS found`,
  write: `INSERT INTO cache_durable (space, namespace, key, seq, gone, head, value)
    SELECT $1, * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::float8[], $6::bytea[], $7::bytea[])
    ON CONFLICT (space, namespace, key) DO UPDATE SET seq = excluded.seq, gone = excluded.gone, head = excluded.head, value = excluded.value
    WHERE cache_durable.seq < excluded.seq OR (cache_durable.seq = excluded.seq AND excluded.head IS NULL)`,
  drop: `UPDATE cache_durable SET gone = $5, head = NULL, value = NULL FROM unnest($2::text[], $3::text[], $4::bigint[]) AS dropped (a_namespace, a_key, a_seq)
    WHERE space = $1 AND namespace = a_namespace AND key = a_key AND seq = a_seq AND head IS NOT NULL`,
  scan: `SELECT ${FACTS} FROM cache_durable WHERE ${LIVE} AND (namespace, key) > ($2, $3) ORDER BY namespace, key LIMIT $4`,
  scanNamespace: `SELECT ${FACTS} FROM cache_durable WHERE ${LIVE} AND namespace = $2 AND key > $3 ORDER BY key LIMIT $4`,
  sweep: `WITH swept AS (
    DELETE FROM cache_durable WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM cache_durable WHERE space = $1 AND gone <= $2 AND seq < $3 ORDER BY gone LIMIT $4)) RETURNING 1)
    SELECT count(*)::float8 AS count FROM swept`
} as const

interface ValueRow { namespace: string, key: string, head: Buffer, value: Buffer }
interface FactsRow { namespace: string, key: string, seq: number, head: Buffer, length: number }

export interface DatabaseTierOptions {
  connections: Connections
  /** Tells this process's entries from those of others: letters and digits. */
  space: string
  now: Now
  /** How entries are written. Default: as they are. */
  format?: RecordFormat
}

/** Durable entries in PostgreSQL, in a logged table: see migration 006. A write is one statement, which is its own transaction. */
export class DatabaseTier implements DurableTier {
  readonly name = 'database'
  #tables: Tables<keyof typeof TEXTS>
  #now: Now
  #format: RecordFormat

  constructor ({ connections, space, now, format = new RecordFormat() }: DatabaseTierOptions) {
    this.#tables = new Tables({ connections, prefix: 'larder_durable', texts: TEXTS, owner: space, name: 'durable', away: AWAY, concurrency: CONCURRENCY })
    this.#now = now
    this.#format = format
  }

  get breaker (): BreakerState { return this.#tables.breaker }
  get switch (): BreakerSwitch { return this.#tables.switch }

  async getMany (namespace: string, keys: readonly string[]): Promise<(StoredEntry | undefined)[]> {
    const rows = await this.#tables.ask<ValueRow>('getMany', namespace, keys.map(columnOf))
    const found = new Map(rows.map((row) => [row.key, row]))
    return await Promise.all(keys.map(async (key) => {
      const row = found.get(columnOf(key))
      return row === undefined ? undefined : await this.#format.unpack(namespace, key, row.head, 0, row.value)
    }))
  }

  async write (writes: readonly DurableWrite[]): Promise<void> {
    const packed = await Promise.all(writes.map(async ({ entry }) => entry === undefined ? undefined : await this.#format.pack(entry, 0)))
    const buried = this.#now() + TOMBSTONE_LIFETIME
    await this.#tables.ask('write',
      writes.map(({ namespace }) => namespace), writes.map(({ key }) => columnOf(key)), writes.map(({ seq }) => seq),
      writes.map(({ entry }) => entry?.goneAt ?? buried),
      packed.map((each) => each === undefined ? null : each.record.subarray(0, each.headLength)),
      packed.map((each) => each === undefined ? null : each.record.subarray(each.headLength)))
  }

  async drop (entries: readonly DurableFacts[]): Promise<void> {
    if (entries.length === 0) return
    await this.#tables.ask('drop', entries.map(({ namespace }) => namespace), entries.map(({ key }) => columnOf(key)), entries.map(({ seq }) => seq),
      this.#now() + TOMBSTONE_LIFETIME)
  }

  async * scan (namespace: string | undefined): AsyncIterable<DurableFacts[]> {
    for await (const rows of this.#tables.pages<FactsRow>(namespace)) yield rows.flatMap((row) => this.#facts(row) ?? [])
  }

  async sweep (before: number): Promise<void> {
    for (;;) {
      const [row] = await this.#tables.ask<{ count: number }>('sweep', this.#now(), before, SWEPT)
      if (row === undefined || row.count < SWEPT) return
    }
  }

  async close (): Promise<void> {}

  #facts ({ namespace, key, seq, head, length }: FactsRow): DurableFacts | undefined {
    const facts = this.#format.facts(namespace, keyIn(key), head, 0)
    return facts === undefined ? undefined : { ...facts, valueLength: length, seq }
  }
}
