import type { StoredEntry } from './entry.js'
import { packRecord, prefixLength, unpackFacts, unpackRecord } from './record.js'
import type { MaybePromise } from './stores/store.js'

/** An entry as bytes. A backend with columns may keep the head and the value apart. */
export interface PackedRecord {
  /** Header, tags and metadata, then the value. */
  record: Buffer
  /** Bytes of it before the value. */
  headLength: number
}

/** An entry without its value. */
export type Facts = Omit<StoredEntry, 'value'>

/**
 * How one backend writes its entries, and reads them: see `record.ts` for the layout. What it applies to values may change at any
 * time, as each record says what was applied to it.
 *
 * Small values are packed and unpacked at once, large ones may take a promise: see `SendingOrder` for keeping changes of a key in
 * order all the same.
 */
export class RecordFormat {
  /** @param skew milliseconds that the store's clock is ahead of ours */
  pack (entry: StoredEntry, skew: number): MaybePromise<PackedRecord> {
    const record = packRecord(entry, skew)
    return { record, headLength: prefixLength(record) as number }
  }

  /**
   * The entry in a record; undefined for a tombstone, and for what cannot be read.
   * @param value where the value is kept apart from the head; the record is the head alone then
   */
  unpack (namespace: string, key: string, record: Buffer, skew: number, value?: Buffer): MaybePromise<StoredEntry | undefined> {
    return unpackRecord(namespace, key, value === undefined ? record : Buffer.concat([record, value]), skew)
  }

  /** The same without the value, from the first `prefixLength` bytes of a record. */
  facts (namespace: string, key: string, prefix: Buffer, skew: number): Facts | undefined {
    return unpackFacts(namespace, key, prefix, skew)
  }
}
