import { Fields, MalformedError } from './fields.js'
import { readLog } from './log-file.js'
import { keyOf, type KeyRange } from './versions.js'

/** What a store is made of. */
export interface Manifest {
  /** The first log that is not in the tables yet. */
  log: number
  /** One before it that is not either; 0 for none. */
  earlierLog: number
  tables: TableFacts[]
}

export interface TableFacts { readonly number: number, readonly size: number, readonly range: KeyRange }

/** The kinds of fields in a record: `db/version_edit.cc` of LevelDB. */
const COMPARATOR = 1
const LOG = 2
const NEXT_FILE = 3
const LAST_SEQUENCE = 4
const COMPACTION = 5
const TABLE_GONE = 6
const TABLE = 7
const EARLIER_LOG = 9

/** Undefined for one that is damaged: which tables there are is unknown then. */
export function readManifest (bytes: Buffer): Manifest | undefined {
  const { records, isDamaged } = readLog(bytes)
  if (isDamaged || records.length === 0) return undefined
  const manifest: Manifest = { log: 0, earlierLog: 0, tables: [] }
  const tables = new Map<string, TableFacts>()
  const kinds = new Set<number>()
  try {
    for (const record of records) apply(new Fields(record), manifest, tables, kinds)
  } catch (error) {
    if (error instanceof MalformedError) return undefined
    throw error
  }
  // It begins with records that do not say all of it yet.
  if (![LOG, NEXT_FILE, LAST_SEQUENCE].every((kind) => kinds.has(kind))) return undefined
  return { ...manifest, tables: [...tables.values()] }
}

function apply (fields: Fields, manifest: Manifest, tables: Map<string, TableFacts>, kinds: Set<number>): void {
  while (!fields.isAtEnd) {
    const kind = fields.varint()
    kinds.add(kind)
    if (kind === COMPARATOR) fields.slice()
    else if (kind === LOG) manifest.log = fields.varint()
    else if (kind === EARLIER_LOG) manifest.earlierLog = fields.varint()
    else if (kind === NEXT_FILE || kind === LAST_SEQUENCE) fields.varint()
    else if (kind === COMPACTION) {
      fields.varint()
      fields.slice()
    } else if (kind === TABLE_GONE) tables.delete(`${fields.varint()}/${fields.varint()}`)
    else if (kind === TABLE) {
      const level = fields.varint()
      const number = fields.varint()
      const size = fields.varint()
      tables.set(`${level}/${number}`, { number, size, range: { from: keyOf(fields.slice()), to: keyOf(fields.slice()) } })
    } else throw new MalformedError('the manifest')
  }
}
