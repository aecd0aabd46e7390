import { encodeBytes, encodeText } from '../encoding.js'
import type { DataType, EncodedValue } from '../entry.js'
import type { MaybePromise } from '../stores/store.js'
import { fromCbor, isCborLoaded, loadCbor, LONGEST_CBOR, toCbor } from './cbor.js'
import { after } from './maybe.js'
import { UnreadableError } from './unreadable.js'

/** How values are written outside the process: as the JSON text they are in it, or as CBOR (RFC 8949) where that is shorter. */
export const SERIALIZATIONS = ['json', 'cbor'] as const
export type Serialization = typeof SERIALIZATIONS[number]

/** What was done to a value. The numbers are stored. */
const FORM = { json: 0, cbor: 1, base64: 2 } as const

export interface Serialized { form: number, bytes: EncodedValue }

/**
 * A value as it is to be stored. What CBOR would not give back as the very same text, or not shorter, stays JSON text.
 */
export function serialize (value: EncodedValue, dataType: DataType, serialization: Serialization): MaybePromise<Serialized> {
  if (serialization === 'json') return { form: FORM.json, bytes: value }
  const asItIs = { form: FORM.json, bytes: value }
  if (dataType === 'binary') {
    const bytes = bytesIn(typeof value === 'string' ? value : value.toString('latin1'))
    return bytes === undefined ? asItIs : { form: FORM.base64, bytes }
  }
  if (value.length > LONGEST_CBOR) return asItIs
  return after(isCborLoaded() ? undefined : loadCbor(), () => {
    const bytes = toCbor(value.toString())
    return bytes === undefined ? asItIs : { form: FORM.cbor, bytes }
  })
}

/**
 * The value that was serialized.
 * @throws UnreadableError
 */
export function deserialize (bytes: Buffer, form: number): MaybePromise<EncodedValue> {
  switch (form) {
    case FORM.json: return encodeBytes(bytes)
    case FORM.cbor: return after(isCborLoaded() ? undefined : loadCbor(), () => encodeText(fromCbor(bytes)))
    case FORM.base64: return encodeText(`"${bytes.toString('base64')}"`)
    default: throw new UnreadableError('unknown format')
  }
}

/** The bytes behind base64 text in quotes, if that is the one way to write them. */
function bytesIn (json: string): Buffer | undefined {
  const base64 = json.slice(1, -1)
  const bytes = Buffer.from(base64, 'base64')
  return bytes.toString('base64') === base64 && json.startsWith('"') && json.endsWith('"') ? bytes : undefined
}
