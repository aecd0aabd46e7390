import type { Encoder } from 'cbor-x'
import { UnreadableError } from './unreadable.js'

/** The longest JSON text that is turned into CBOR, in characters: parsing and writing it takes two milliseconds or three. */
export const LONGEST_CBOR = 128 * 1024
/** Arrays and maps within each other: recursion over what is deeper could overflow the stack. */
const DEEPEST = 500

let encoder: Encoder | undefined
let loading: Promise<void> | undefined

/** Whether `toCbor` and `fromCbor` can be called; else `loadCbor` comes first. */
export const isCborLoaded = (): boolean => encoder !== undefined

/** Loads the library, which only those need who have values in CBOR. */
export async function loadCbor (): Promise<void> {
  loading ??= import('cbor-x').then((library) => {
    encoder = new library.Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true, tagUint8Array: false })
  })
  await loading
}

/**
 * JSON text as CBOR (RFC 8949); undefined where the way back would not lead to the very same text (a key like `__proto__`, half of a
 * surrogate pair, a number that a double does not hold), and where it would be longer. A view of memory that the next call reuses.
 */
export function toCbor (text: string): Buffer | undefined {
  if (text.length > LONGEST_CBOR || isDeep(text)) return undefined
  try {
    const bytes = encoder!.encode(JSON.parse(text))
    return bytes.length <= text.length && fromCbor(bytes) === text ? bytes : undefined
  } catch {
    return undefined
  }
}

/**
 * The JSON text of what `toCbor` wrote.
 * @throws UnreadableError for anything else
 */
export function fromCbor (bytes: Buffer): string {
  if (bytes.length > LONGEST_CBOR || !isPlain(bytes)) throw new UnreadableError('damaged')
  try {
    return JSON.stringify(encoder!.decode(bytes))
  } catch {
    throw new UnreadableError('damaged')
  }
}

const QUOTE = 0x22
const BACKSLASH = 0x5c

function isDeep (json: string): boolean {
  let depth = 0
  for (let at = 0; at < json.length; at++) {
    const code = json.charCodeAt(at)
    if (code === QUOTE) {
      for (at++; json.charCodeAt(at) !== QUOTE && at < json.length; at++) if (json.charCodeAt(at) === BACKSLASH) at++
    } else if ((code | 0x20) === 0x7b) { // [ or {
      if (++depth > DEEPEST) return true
    } else if ((code | 0x20) === 0x7d) { // ] or }
      depth--
    }
  }
  return false
}

/**
 * Whether bytes are one well-formed item of the kinds that JSON has, all there and of bounded depth. The library would take a few
 * hostile bytes for an array of a hundred million, for a regular expression, or for structures of its own.
 */
function isPlain (bytes: Buffer): boolean {
  /** Items still to come at each level. */
  const open = new Float64Array(DEEPEST + 1)
  /** Whether the level is a map's, where every second item is a key. */
  const isMap = new Uint8Array(DEEPEST + 1)
  let depth = 0
  open[0] = 1
  let at = 0
  while (depth >= 0) {
    if (open[depth] === 0) {
      depth--
      continue
    }
    if (at >= bytes.length) return false
    const isKey = isMap[depth] === 1 && open[depth]! % 2 === 0
    open[depth]!--
    const initial = bytes[at] as number
    const kind = initial >> 5
    const width = WIDTHS[initial & 0x1f] as number
    if (width === -1 || at + 1 + width > bytes.length || (isKey && kind !== TEXT)) return false
    const argument = width === 0 ? initial & 0x1f : width === 8 ? Number(bytes.readBigUInt64BE(at + 1)) : bytes.readUIntBE(at + 1, width)
    at += 1 + width
    if (kind === UNSIGNED || kind === NEGATIVE) continue
    if (kind === TEXT) {
      if (argument > bytes.length - at) return false
      at += argument
    } else if (kind === ARRAY || kind === MAP) {
      const items = kind === MAP ? 2 * argument : argument
      // Each takes a byte at least.
      if (items > bytes.length - at || ++depth > DEEPEST) return false
      open[depth] = items
      isMap[depth] = kind === MAP ? 1 : 0
    } else if (kind !== SIMPLE || !(width >= 2 || (width === 0 && argument >= FALSE && argument <= NULL))) {
      return false
    }
  }
  return at === bytes.length
}

/** Bytes that follow the initial one, by its lower five bits; -1 for indefinite lengths and what is reserved. */
const WIDTHS = Int8Array.from({ length: 32 }, (_, low) => low < 24 ? 0 : low < 28 ? 2 ** (low - 24) : -1)
const [UNSIGNED, NEGATIVE, TEXT, ARRAY, MAP, SIMPLE] = [0, 1, 3, 4, 5, 7]
const [FALSE, NULL] = [20, 22] as const
