import { COMPRESSION, compress, decompress } from './codec/compression.js'
import type { KeyRing } from './codec/key-ring.js'
import { after } from './codec/maybe.js'
import { ENCRYPTION, openPart, openLargePart, PART, type Seal, SEAL_LENGTH, Sealer, sealPart, TAG_LENGTH } from './codec/seal.js'
import { deserialize, type Serialization, type Serialized, serialize } from './codec/serialization.js'
import { UnreadableError, type UnreadableReason } from './codec/unreadable.js'
import { type EncodedValue, sizeOf, type StoredEntry } from './entry.js'
import { BackendUnavailableError } from './errors.js'
import { type Applied, appliedTo, extrasText, fixedParts, HEADER_LENGTH, parseExtras, prefixLength, readHeader, writeHeader } from './record.js'
import { CountersByNamespace } from './statistics.js'
import type { MaybePromise } from './stores/store.js'

/** An entry as bytes. A backend with columns may keep the head and the value apart. */
export interface PackedRecord {
  /** Header, tags and metadata, then the value. */
  readonly record: Buffer
  /** Bytes of it before the value. */
  readonly headLength: number
  /** Bytes that the value takes; undefined when they are as many as its JSON text has. See `StoredEntry`. */
  readonly storedLength: number | undefined
  /** Bytes that the entry counts for. */
  readonly size: number
}

/** An entry without its value. */
export interface Facts extends Omit<StoredEntry, 'value'> {
  /** Its tags and metadata cannot be read, so nobody sees the entry; whoever makes room does. Undefined: they can. */
  readonly isUnreadable?: true
}

/** What is applied to entries that are written from now on. */
export interface AtRest {
  compression: boolean
  encryption: boolean
}

export interface RecordFormatOptions extends Partial<AtRest> {
  /** Whose records these are: none can be opened as another's. `redis:api` for instance. */
  purpose?: string
  /** Default `json`. */
  serialization?: Serialization
  /** Undefined: nothing can be encrypted, and nothing that is can be read. */
  keys?: KeyRing | undefined
  /** Is told of entries that cannot be read: of the first, then at most once a minute. */
  onUnreadable?: (reports: UnreadableReport) => void
}

/** How many reads met an entry that cannot be read since the last report, by the reason. */
export type UnreadableReport = Partial<Record<UnreadableReason, number>>

/** Milliseconds. */
const REPORT_INTERVAL = 60_000

/**
 * How one backend writes its entries, and reads them: see `record.ts` for the layout. Compression and encryption may be switched at
 * any time, as each record says what was applied to it. By default nothing is.
 *
 * Small values are packed and unpacked at once, large ones may take a promise: see `SendingOrder` for keeping changes of a key in
 * order all the same.
 */
export class RecordFormat {
  readonly purpose: string
  #serialization: Serialization
  #atRest: AtRest
  /** By namespace, where it has something of its own; undefined while none has. */
  #ofNamespaces: ReadonlyMap<string, Partial<AtRest>> | undefined
  #sealer: Sealer | undefined
  #unreadable = new CountersByNamespace(() => ({ reads: 0 }))
  #report: UnreadableReport = {}
  #reportedAt = -Infinity
  #onUnreadable: ((reports: UnreadableReport) => void) | undefined

  constructor ({ purpose = '', serialization = 'json', compression = false, encryption = false, keys, onUnreadable }: RecordFormatOptions = {}) {
    this.purpose = purpose
    this.#serialization = serialization
    this.#atRest = { compression, encryption }
    this.#sealer = keys === undefined ? undefined : new Sealer(keys)
    this.#onUnreadable = onUnreadable
  }

  get atRest (): Readonly<AtRest> { return this.#atRest }

  /** Whether there are keys to encrypt with. Without them nothing is written while encryption is on. */
  get hasKeys (): boolean { return this.#sealer !== undefined }

  /** Reads since the start that met an entry which could not be read, and were misses for it. */
  unreadable (namespace?: string): number { return this.#unreadable.read(namespace).reads }

  /** Takes effect for what is written from now on. */
  configure (atRest: Partial<AtRest>): void { this.#atRest = { ...this.#atRest, ...atRest } }

  /** The same for single namespaces; all others live by what holds for all. */
  configureNamespaces (own: ReadonlyMap<string, Partial<AtRest>>): void { this.#ofNamespaces = own.size === 0 ? undefined : own }

  /** What is applied to entries of a namespace. */
  atRestOf (namespace: string): Readonly<AtRest> {
    const own = this.#ofNamespaces?.get(namespace)
    return own === undefined ? this.#atRest : { ...this.#atRest, ...own }
  }

  /**
   * @param skew milliseconds that the store's clock is ahead of ours
   * @throws BackendUnavailableError when it was to be encrypted and there is no key: nothing is stored in plain instead
   */
  pack (entry: StoredEntry, skew: number): MaybePromise<PackedRecord> {
    const { compression, encryption } = this.atRestOf(entry.namespace)
    if (encryption && this.#sealer === undefined) throw new BackendUnavailableError(NO_KEY)
    const sealer = encryption ? this.#sealer : undefined
    return after(serialize(entry.value, entry.dataType, this.#serialization), ({ form, bytes }) => {
      if (!compression) return this.#assemble(entry, skew, { form, bytes }, COMPRESSION.none, sealer)
      return after(compress(bufferOf(bytes)), (compressed) => compressed === undefined
        ? this.#assemble(entry, skew, { form, bytes }, COMPRESSION.none, sealer)
        : this.#assemble(entry, skew, { form, bytes: compressed }, COMPRESSION.deflate, sealer))
    })
  }

  /**
   * The entry in a record; undefined for a tombstone, and for what cannot be read.
   * @param value where the value is kept apart from the head; the record is the head alone then
   */
  unpack (namespace: string, key: string, record: Buffer, skew: number, value?: Buffer): MaybePromise<StoredEntry | undefined> {
    const start = prefixLength(record)
    if (start === undefined) return undefined
    try {
      if (start > record.length) throw new UnreadableError('damaged')
      const opening = this.#opening(namespace, key, record)
      const facts = factsIn(namespace, key, record, start, skew, opening)
      const stored = value ?? record.subarray(start)
      const opened = after(valueIn(record, stored, opening), (value) => {
        return stored.length === value.length ? { ...facts, value } : { ...facts, value, storedLength: stored.length }
      })
      return opened instanceof Promise ? opened.catch((error: unknown) => this.#count(namespace, error)) : opened
    } catch (error) {
      return this.#count(namespace, error)
    }
  }

  /** The same without the value, from the first `prefixLength` bytes of a record. What cannot be read is not counted here. */
  facts (namespace: string, key: string, prefix: Buffer, skew: number): Facts | undefined {
    const start = prefixLength(prefix)
    if (start === undefined || start > prefix.length) return undefined
    try {
      return factsIn(namespace, key, prefix, start, skew, this.#opening(namespace, key, prefix))
    } catch (error) {
      if (!(error instanceof UnreadableError)) throw error
      const facts = readHeader(namespace, key, prefix, skew)
      return facts === undefined ? undefined : { ...facts, isUnreadable: true }
    }
  }

  #assemble (entry: StoredEntry, skew: number, { form, bytes }: Serialized, compression: number, sealer: Sealer | undefined): MaybePromise<PackedRecord> {
    const applied: Applied = { serialization: form, compression, encryption: sealer === undefined ? ENCRYPTION.none : ENCRYPTION.aesGcm }
    const extras = extrasText(entry)
    return sealer === undefined ? plain(entry, skew, applied, extras, bytes) : this.#sealed(entry, skew, applied, extras, bufferOf(bytes), sealer.begin())
  }

  #sealed (entry: StoredEntry, skew: number, applied: Applied, text: string, value: Buffer, seal: Seal): MaybePromise<PackedRecord> {
    const extras = Buffer.from(text)
    const extrasLength = SEAL_LENGTH + (extras.length === 0 ? 0 : extras.length + TAG_LENGTH)
    const headLength = HEADER_LENGTH + extrasLength
    const record = Buffer.allocUnsafe(headLength + value.length + TAG_LENGTH)
    writeHeader(record, entry, applied, extrasLength, skew)
    seal.mark.copy(record, HEADER_LENGTH)
    const bound = this.#bound(entry.namespace, entry.key, record)
    const done = packed(entry, record, headLength)
    const sealed = extras.length === 0 ? undefined : sealPart(seal, PART.extras, extras, bound, record.subarray(HEADER_LENGTH + SEAL_LENGTH))
    return after(sealed, () => after(sealPart(seal, PART.value, value, bound, record.subarray(headLength)), () => done))
  }

  /** What a sealed record is opened with. */
  #opening (namespace: string, key: string, record: Buffer): Opening | undefined {
    const { encryption } = appliedTo(record)
    if (encryption === ENCRYPTION.none) return undefined
    if (encryption !== ENCRYPTION.aesGcm) throw new UnreadableError('unknown format')
    if (this.#sealer === undefined) throw new UnreadableError('no key')
    const mark = record.subarray(HEADER_LENGTH, HEADER_LENGTH + SEAL_LENGTH)
    if (mark.length < SEAL_LENGTH) throw new UnreadableError('damaged')
    return { seal: this.#sealer.recall(mark), bound: this.#bound(namespace, key, record) }
  }

  /** What a sealed part belongs to: as another key's, namespace's or cache's, as another version's or type's, it does not open. */
  #bound (namespace: string, key: string, record: Buffer): Buffer {
    return Buffer.concat([fixedParts(record), Buffer.from(JSON.stringify([this.purpose, namespace, key]))])
  }

  #count (namespace: string, error: unknown): undefined {
    if (!(error instanceof UnreadableError)) throw error
    this.#unreadable.of(namespace).reads++
    this.#report[error.reason] = (this.#report[error.reason] ?? 0) + 1
    const now = performance.now()
    if (this.#onUnreadable === undefined || now - this.#reportedAt < REPORT_INTERVAL) return
    this.#reportedAt = now
    const report = this.#report
    this.#report = {}
    this.#onUnreadable(report)
  }
}

const NO_KEY = 'Entries are to be encrypted, and this process has no key: set CACHE_ENCRYPTION_KEY and restart, or set encryption_enabled to false.'

const bufferOf = (bytes: EncodedValue): Buffer => typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes

interface Opening { seal: Seal, bound: Buffer }

function factsIn (namespace: string, key: string, record: Buffer, start: number, skew: number, opening: Opening | undefined): Facts {
  const facts = readHeader(namespace, key, record, skew)
  if (facts === undefined) throw new UnreadableError('damaged')
  const stored = record.subarray(HEADER_LENGTH + (opening === undefined ? 0 : SEAL_LENGTH), start)
  if (stored.length === 0) return facts
  return { ...facts, ...extrasIn(opening === undefined ? stored : openPart(opening.seal, PART.extras, stored, opening.bound)) }
}

function valueIn (record: Buffer, stored: Buffer, opening: Opening | undefined): MaybePromise<EncodedValue> {
  const { serialization, compression } = appliedTo(record)
  if (compression > COMPRESSION.deflate) throw new UnreadableError('unknown format')
  const opened = opening === undefined ? stored : openLargePart(opening.seal, PART.value, stored, opening.bound)
  return after(opened, (bytes) => after(compression === COMPRESSION.none ? bytes : decompress(bytes), (text) => deserialize(text, serialization)))
}

function extrasIn (bytes: Buffer): Pick<StoredEntry, 'tags' | 'metadata'> {
  const extras = parseExtras(bytes.toString())
  if (extras === undefined) throw new UnreadableError('damaged')
  return extras
}

function plain (entry: StoredEntry, skew: number, applied: Applied, extras: string, value: EncodedValue): PackedRecord {
  const extrasLength = Buffer.byteLength(extras)
  const headLength = HEADER_LENGTH + extrasLength
  const record = Buffer.allocUnsafe(headLength + value.length)
  writeHeader(record, entry, applied, extrasLength, skew)
  record.write(extras, HEADER_LENGTH)
  if (typeof value === 'string') record.write(value, headLength, 'latin1')
  else value.copy(record, headLength)
  return packed(entry, record, headLength)
}

function packed (entry: StoredEntry, record: Buffer, headLength: number): PackedRecord {
  const length = record.length - headLength
  const storedLength = length === entry.value.length ? undefined : length
  return { record, headLength, storedLength, size: sizeOf(entry.key, { length }, entry.tags, entry.metadata) }
}
