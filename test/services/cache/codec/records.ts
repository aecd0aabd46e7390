import { randomBytes } from 'node:crypto'
import { KeyRing } from '../../../../services/cache/codec/key-ring.js'
import { KeySource } from '../../../../services/cache/codec/key-source.js'
import { encodeText } from '../../../../services/cache/encoding.js'
import type { StoredEntry } from '../../../../services/cache/entry.js'
import type { PackedRecord, RecordFormat } from '../../../../services/cache/record-format.js'

/** Keys that nobody else has, the first of which writes. */
export const ringOf = async (...keys: Buffer[]): Promise<KeyRing> =>
  await KeyRing.open((keys.length === 0 ? [randomBytes(32)] : keys).map((key, at) => new KeySource(`key${at}`, key)))

/** An entry that holds some JSON text. */
export const entryWith = (json: string, more: Partial<StoredEntry> = {}): StoredEntry => ({
  namespace: 'n',
  key: 'k',
  value: encodeText(json),
  dataType: 'json',
  strategy: 'lru',
  tags: [],
  metadata: undefined,
  stamp: 7,
  version: 1234567,
  createdAt: 1.9e12,
  accessedAt: 1.9e12,
  expiresAt: Infinity,
  goneAt: Infinity,
  accessCount: 0,
  ...more
})

export const packed = async (format: RecordFormat, entry: StoredEntry): Promise<PackedRecord> => await format.pack(entry, 0)

/** The JSON text that comes back; undefined for a miss. */
export async function readBack (format: RecordFormat, record: Buffer, namespace = 'n', key = 'k'): Promise<string | undefined> {
  return (await format.unpack(namespace, key, record, 0))?.value.toString()
}
