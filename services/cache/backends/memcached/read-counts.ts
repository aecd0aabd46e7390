import type { StoredEntry } from '../../entry.js'
import { isOutage as isAway, type OnFault } from '../../faults.js'
import type { Facts } from '../../record-format.js'
import type { Place } from '../coordination/coordination.js'
import { ReadReports, type Reads } from '../reads.js'
import type { Item } from './client.js'
import type { ItemAccess } from './item-access.js'
import { packReads, unpackReads } from './items.js'

/** Keys that are asked for at once, each with its reads. */
export const BATCH = 100

/** The reads of entries, in items of their own. */
export class ReadCounts {
  #items: ItemAccess
  #reports: ReadReports

  constructor (items: ItemAccess, onFault: OnFault) {
    this.#items = items
    this.#reports = new ReadReports(async (reads) => {
      // Statistics are not worth an outage.
      await this.#report(reads).catch((error: unknown) => { if (!isAway(error)) onFault(error) })
    })
  }

  note (namespace: string, key: string, version: number, reads: number, at: number): void { this.#reports.note(namespace, key, version, reads, at) }

  /** The entry with what is counted, and with the reads that still wait to be. */
  applied (entry: StoredEntry, item: Item | undefined, place: Place): StoredEntry { return this.#reports.applied(withReads(entry, item, place)) }

  stop (): void { this.#reports.stop() }

  async #report (waiting: Reads[]): Promise<void> {
    const items = this.#items
    const { client } = items
    const place = await items.coordination.place()
    const names = items.names(place)
    for (let from = 0; from < waiting.length; from += BATCH) {
      const batch = waiting.slice(from, from + BATCH)
      const [records, counts] = await items.run(async () => await Promise.all([
        // This also tells the server that they are in use.
        client.getMany(batch.map(({ namespace, key }) => names.of(namespace, key)), { values: false, ttl: true }),
        client.getMany(batch.map(({ namespace, key }) => names.of(namespace, key, 'reads')))
      ]))
      await items.run(async () => await Promise.all(batch.map(async ({ namespace, key, version, reads, at }, index) => {
        const ttl = records[index]?.ttl
        if (ttl === undefined) return
        const counted = unpackReads(counts[index])
        const sum = (counted?.version === version ? counted.reads : 0) + reads
        const value = packReads({ version, reads: sum, at: at + place.skew })
        // When another process counts at the same moment, one of the two is lost: these are only statistics.
        await client.store(names.of(namespace, key, 'reads'), { value, expiry: client.expiry(ttl * 1000) }, counts[index])
      })))
    }
  }
}

/** With the reads that are counted apart. */
export function withReads<F extends Facts> (facts: F, item: Item | undefined, { skew }: Place): F {
  const counted = unpackReads(item)
  if (counted?.version !== facts.version) return facts
  return { ...facts, accessCount: facts.accessCount + counted.reads, accessedAt: Math.max(facts.accessedAt, counted.at - skew) }
}
