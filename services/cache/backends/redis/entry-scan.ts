import type { Redis } from 'ioredis'
import { HEADER_LENGTH, prefixLength } from '../../record.js'
import type { Facts } from '../../record-format.js'
import type { ScannedEntry } from '../backend.js'
import type { Keyspace } from './keyspace.js'
import type { Scripted } from './scripts.js'

/** Bytes that hold header, tags and metadata of nearly every entry. */
const PREFIX = HEADER_LENGTH + 448
const SCAN_COUNT = 1000

export interface EntryScanOptions {
  client: Redis & Scripted
  keys: Keyspace
  /** Keeps a command within the deadline of a step. */
  run: <T>(command: () => Promise<T>) => Promise<T>
  facts: (namespace: string, key: string, prefix: Buffer) => Facts | undefined
}

/** A portion of the entries, and the cursor that the next one follows from; `0` behind the last. */
export interface Page { next: string, entries: ScannedEntry[] }

/** Goes through everything, without the values. An entry may come twice; one that is there all the while comes at least once. */
export class EntryScan {
  #options: EntryScanOptions

  constructor (options: EntryScanOptions) { this.#options = options }

  async * pages (namespace: string | undefined, from = '0'): AsyncIterable<Page> {
    const { client, keys, run } = this.#options
    for (let cursor = from; ;) {
      const [next, ...records] = await run(() => client.larderScanBuffer(keys.counter, cursor, keys.entries(namespace), SCAN_COUNT, PREFIX)) as [Buffer, ...(Buffer | number)[]]
      cursor = next.toString()
      yield { next: cursor, entries: await this.#entries(records) }
      if (cursor === '0') return
    }
  }

  async #entries (records: (Buffer | number)[]): Promise<ScannedEntry[]> {
    const { client, keys, run, facts } = this.#options
    const entries: ScannedEntry[] = []
    for (let at = 0; at < records.length; at += 3) {
      const name = String(records[at])
      let record = records[at + 1] as Buffer
      const needed = prefixLength(record)
      if (needed === undefined) continue
      if (needed > record.length) record = await run(() => client.getrangeBuffer(name, 0, needed - 1))
      const entry = facts(...keys.parts(name), record)
      if (entry !== undefined) entries.push({ ...entry, valueLength: records[at + 2] as number - needed })
    }
    return entries
  }
}
