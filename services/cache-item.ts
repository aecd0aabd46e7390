import { type EncodedValue, type Entry, graceOf } from './cache/entry.js'
import { isoTime } from './iso-time.js'

/**
 * An entry as the JSON text of a `CacheItem`, with its value inserted as it is kept instead of being decoded and encoded again.
 * The text around it is what `before` and `after` add.
 */
export function cacheItemText (entry: Entry, backend: string, now: number, before: string, after: string): EncodedValue {
  const head = `${before}{"key":${quoted(entry.key)},"value":`
  const tail = `,"data_type":"${entry.dataType}","ttl":${secondsLeft(entry.expiresAt, now)}${graceText(entry)},"created_at":"${isoTime(entry.createdAt)}` +
    `","accessed_at":"${isoTime(entry.accessedAt)}","access_count":${entry.accessCount},"size":${entry.size}` +
    `,"metadata":${entry.metadata ?? '{}'},"backend":"${backend}","strategy":"${entry.strategy}","version":"${entry.version}"}${after}`
  return typeof entry.value === 'string' ? head + entry.value + tail : Buffer.concat([Buffer.from(head), entry.value, Buffer.from(tail)])
}

/** Seconds until `expiresAt`, to the millisecond. 0 is reserved for "never": an entry that is still there has at least 0.001. */
export function secondsLeft (expiresAt: number, now: number): number {
  return expiresAt === Infinity ? 0 : Math.max(1, Math.round(expiresAt - now)) / 1000
}

/** Seconds, to the millisecond, past its TTL that an entry is kept as stale; undefined for none, which most have. */
export function secondsOfGrace (entry: Pick<Entry, 'expiresAt' | 'goneAt'>): number | undefined {
  return entry.goneAt === entry.expiresAt ? undefined : Math.round(graceOf(entry)) / 1000
}

/** The member `grace`. */
export function graceText (entry: Entry): string {
  const grace = secondsOfGrace(entry)
  return grace === undefined ? '' : `,"grace":${grace}`
}

/** A string as JSON text. Most need no escapes, and to see that takes half as long as to look for each. */
export const quoted = (text: string): string => /^[ !#-[\]-~]*$/.test(text) ? `"${text}"` : JSON.stringify(text)

/** Pieces of JSON text in one piece: text while all are, bytes as soon as one is. */
export function joinText (pieces: readonly EncodedValue[]): EncodedValue {
  let text = ''
  for (const piece of pieces) {
    if (typeof piece !== 'string') return Buffer.concat(pieces.map((piece) => typeof piece === 'string' ? Buffer.from(piece) : piece))
    text += piece // put together once, in the end: join would do so twice
  }
  return text
}
