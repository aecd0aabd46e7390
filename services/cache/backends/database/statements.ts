/*
 * What the backend asks of PostgreSQL; the work is done by the functions of the migration that made its tables. Every text begins
 * with the cache as its first value.
 */
const ENTRY = 'namespace, key, version, stamp::float8 AS stamp, expires, gone, accessed, reads::float8 AS reads, head'
const LIVE = 'cache = $1 AND version IS NOT NULL AND gone > cache_now()'

export const TEXTS = {
  get: `SELECT ${ENTRY}, value FROM cache_entries WHERE ${LIVE} AND namespace = $2 AND key = $3`,
  /** Key by key: without statistics of the table, "any of these" may read all of a namespace. */
  getMany: `SELECT found.* FROM unnest($3::text[]) AS wanted_key CROSS JOIN LATERAL (
    SELECT ${ENTRY}, value FROM cache_entries WHERE ${LIVE} AND namespace = $2 AND key = wanted_key LIMIT 1) AS found`,
  /** A page of everything, from behind a namespace and key on. */
  scan: `SELECT ${ENTRY}, octet_length(value) AS length FROM cache_entries WHERE ${LIVE} AND (namespace, key) > ($2, $3) ORDER BY namespace, key LIMIT $4`,
  scanNamespace: `SELECT ${ENTRY}, octet_length(value) AS length FROM cache_entries WHERE ${LIVE} AND namespace = $2 AND key > $3 ORDER BY key LIMIT $4`,
  /** Entries in about so many of a hundred pages of the table. */
  sample: `SELECT ${ENTRY}, octet_length(value) AS length, size::float8 AS size FROM cache_entries TABLESAMPLE SYSTEM ($2)
    WHERE ${LIVE} AND ($3::text IS NULL OR namespace = $3)`,
  totals: 'SELECT items::float8 AS items, bytes::float8 AS bytes FROM cache_counters WHERE cache = $1',
  inForce: 'SELECT what, stamp::float8 AS stamp FROM cache_invalidations WHERE cache = $1',
  pulse: 'SELECT stamp, epoch, "time" FROM cache_pulse($1)',
  /** The last stamp, and that of the last change of a key; what came before the counter began counts as changed by that. */
  order: `SELECT stamp, greatest(epoch::float8, (SELECT written::float8 FROM cache_entries
    WHERE cache = $1 AND namespace = $2 AND key = $3 AND gone > cache_now())) AS changed FROM cache_pulse($1)`,
  /** To everybody who listens, the process itself included. */
  tell: "SELECT pg_notify('larder_cache_' || $1, $2)",
  /** Stamps below 0 are refusals: see `outcome`, and the migrations. */
  write: 'SELECT * FROM cache_write($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)',
  delete: 'SELECT * FROM cache_delete($1, $2, $3, $4, $5, $6, $7)',
  expire: 'SELECT * FROM cache_expire($1, $2, $3, $4, $5, $6, $7)',
  invalidate: 'SELECT cache_invalidate($1, $2, $3, $4, $5) AS stamp',
  withdraw: 'DELETE FROM cache_invalidations WHERE cache = $1 AND what = ANY($2::text[]) AND stamp = $3',
  discard: 'SELECT cache_discard($1, $2, $3, $4) AS count',
  noteReads: 'SELECT cache_note_reads($1, $2, $3, $4, $5, $6)',
  shrink: 'SELECT cache_shrink($1, $2, $3, $4) AS evicted',
  quotas: 'SELECT cache_quotas($1, $2::text[], $3::bigint[], $4::bigint[])',
  place: 'SELECT more, evicted FROM cache_place($1, $2)',
  sweep: 'SELECT cache_sweep($1)::float8 AS count'
} as const

/** Those that only read. */
export const READS: ReadonlySet<keyof typeof TEXTS> = new Set(['get', 'getMany', 'scan', 'scanNamespace', 'sample', 'totals', 'inForce', 'order'])

export interface EntryRow {
  namespace: string
  key: string
  version: number
  stamp: number
  expires: number
  gone: number
  accessed: number
  reads: number
  head: Buffer
}
export type ValueRow = EntryRow & { value: Buffer }
export type ScannedRow = EntryRow & { length: number }
export type SampledRow = ScannedRow & { size: number }
export interface OutcomeRow { stamp: number, existed: boolean }
/** `evicted`: JSON arrays of namespace, key and stamp. */
export interface WriteRow extends OutcomeRow { evicted: string[] }
export interface PulseRow { stamp: number, epoch: string, time: number }
