import type { Database, Queryable } from './database.js'

export type SettingAction = 'set' | 'deleted' | 'rolled_back'

/** A stored value, as text, since a JSON null must not be taken for none. */
export interface SettingRow {
  key: string
  /** Null: it holds for all namespaces that have none of their own. */
  namespace: string | null
  value: string
  revision: string
  updated_at: Date
  changed_by: string | null
}

/** A value to store, or, being undefined, to take out. */
export interface SettingEntry { name: string, namespace?: string | undefined, value: unknown }

/** One change; a value of undefined took the setting out of the store. */
export interface SettingChange {
  revision: number
  key: string
  /** Undefined: it was made for all namespaces that have no value of their own. */
  namespace?: string | undefined
  value: unknown
  action: SettingAction
  changedAt: Date
  changedBy: string
}

export interface HistoryQuery {
  name?: string
  /** One namespace's own; null: what holds for all without one. Absent: both. */
  namespace?: string | null
  before?: number
  after?: number
  limit: number
}

/** What is stored of the settings, and every change of it: the tables `settings`, `setting_overrides` and `settings_history`. */
export class SettingTable {
  readonly #database: Pick<Database, 'query' | 'transaction'>

  constructor (database: Pick<Database, 'query' | 'transaction'>) { this.#database = database }

  /** The revision of the last change; 0 before the first. */
  async newest (options: { attempts?: number } = {}): Promise<number> {
    const { rows: [row] } = await this.#database.query<{ revision: string }>('SELECT coalesce(max(revision), 0) AS revision FROM settings_history', options)
    return Number(row?.revision ?? 0)
  }

  /** The revision of the first change that the history still has. */
  async oldest (): Promise<number> {
    const { rows: [row] } = await this.#database.query<{ revision: string }>('SELECT coalesce(min(revision), 0) AS revision FROM settings_history')
    return Number(row?.revision ?? 0)
  }

  async rows (on: Pick<Queryable, 'query'> = this.#database): Promise<SettingRow[]> {
    const { rows } = await on.query<SettingRow>(ROWS)
    return rows
  }

  /** Until the end of the transaction nobody else changes anything: revisions are committed in order, so that who has seen one has seen all before it. */
  async lock (transaction: Queryable): Promise<void> {
    await transaction.query('LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE')
  }

  /** Every entry gets the next revision; to take out what is not there is no change. */
  async write (transaction: Queryable, entries: readonly SettingEntry[], by: string, action?: SettingAction): Promise<void> {
    const set = entries.filter(({ value }) => value !== undefined)
    const removed = entries.filter(({ value }) => value === undefined)
    await transaction.query({
      text: `
        WITH given AS (
          SELECT key, namespace, value::jsonb AS value FROM unnest($1::text[], $2::text[], $3::text[]) AS given (key, namespace, value)
        ), unwanted AS (
          SELECT key, namespace FROM unnest($4::text[], $5::text[]) AS unwanted (key, namespace)
        ), written AS (
          INSERT INTO settings (key, value) SELECT key, value FROM given WHERE namespace IS NULL
          ON CONFLICT (key) DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_at = now()
          RETURNING key, NULL::text AS namespace, value, revision
        ), overridden AS (
          INSERT INTO setting_overrides (key, namespace, value) SELECT key, namespace, value FROM given WHERE namespace IS NOT NULL
          ON CONFLICT (key, namespace) DO UPDATE SET value = excluded.value, revision = excluded.revision, updated_at = now()
          RETURNING key, namespace, value, revision
        ), removed AS (
          DELETE FROM settings USING unwanted WHERE settings.key = unwanted.key AND unwanted.namespace IS NULL
          RETURNING settings.key, NULL::text AS namespace, nextval('settings_revision') AS revision
        ), inherited AS (
          DELETE FROM setting_overrides AS override USING unwanted WHERE override.key = unwanted.key AND override.namespace = unwanted.namespace
          RETURNING override.key, override.namespace, nextval('settings_revision') AS revision
        )
        INSERT INTO settings_history (key, namespace, value, revision, action, changed_by)
        SELECT key, namespace, value, revision, $6, $8 FROM written UNION ALL SELECT key, namespace, value, revision, $6, $8 FROM overridden
        UNION ALL SELECT key, namespace, NULL, revision, $7, $8 FROM removed UNION ALL SELECT key, namespace, NULL, revision, $7, $8 FROM inherited`,
      values: [
        set.map(({ name }) => name), set.map(({ namespace }) => namespace ?? null), set.map(({ value }) => JSON.stringify(value)),
        removed.map(({ name }) => name), removed.map(({ namespace }) => namespace ?? null), action ?? 'set', action ?? 'deleted', by
      ]
    })
  }

  /** Changes, the latest first: those before a revision, or, the earliest first, those after one. */
  async history ({ name, namespace, before, after, limit }: HistoryQuery, on: Pick<Queryable, 'query'> = this.#database): Promise<SettingChange[]> {
    const { rows } = await on.query<HistoryRow>({
      text: `
        SELECT revision, key, namespace, value::text AS value, action, changed_at, changed_by FROM settings_history
        WHERE ($1::text IS NULL OR key = $1) AND ($2::bigint IS NULL OR revision < $2) AND ($3::bigint IS NULL OR revision > $3)
          AND ($5 OR namespace IS NOT DISTINCT FROM $6)
        ORDER BY revision ${after === undefined ? 'DESC' : 'ASC'} LIMIT $4`,
      values: [name ?? null, before ?? null, after ?? null, limit, namespace === undefined, namespace ?? null]
    })
    return rows.map(({ revision, key, namespace, value, action, changed_at: at, changed_by: by }) => ({
      revision: Number(revision), key, namespace: namespace ?? undefined, value: value === null ? undefined : JSON.parse(value) as unknown, action, changedAt: at, changedBy: by
    }))
  }
}

interface HistoryRow { revision: string, key: string, namespace: string | null, value: string | null, action: SettingAction, changed_at: Date, changed_by: string }

const ROWS = `
  SELECT stored.key, stored.namespace, stored.value::text AS value, stored.revision, stored.updated_at, changed_by
  FROM (
    SELECT key, NULL::text AS namespace, value, revision, updated_at FROM settings
    UNION ALL SELECT key, namespace, value, revision, updated_at FROM setting_overrides
  ) AS stored LEFT JOIN settings_history USING (revision)`
