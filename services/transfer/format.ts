import type { EncodedValue, Entry } from '../cache/entry.js'
import { graceText, quoted, secondsLeft, secondsOfGrace } from '../cache-item.js'
import { isoTime } from '../iso-time.js'

export const EXPORT_FORMATS = ['json', 'ndjson', 'csv'] as const
export type ExportFormat = typeof EXPORT_FORMATS[number]
/** CSV has no room for what tells a whole file from a part of it. */
export const IMPORT_FORMATS = ['json', 'ndjson'] as const
export type ImportFormat = typeof IMPORT_FORMATS[number]

/** What the head of an export in JSON says of itself. */
export const EXPORT_KIND = 'larder-export'
export const EXPORT_VERSION = 1

/** What an export is of; none of it is needed to read it back. */
export interface ExportOrigin { backend: string, namespace: string, pattern?: string | undefined, exportedAt: number }

/** How a format is written: rows between a head and a tail. Every row but the last is followed by `separator`. */
export interface ExportWriter {
  readonly contentType: string
  head: string
  /** @param row its place, from 1 */
  row (entry: Entry, row: number, now: number): EncodedValue
  separator: string
  /**
   * What follows the last row; `total` is how many there were. It is what a file that was cut off does not have, wherever the cut
   * is: the last row of NDJSON says the total, and so does the end of JSON.
   */
  tail (total: number): string
}

const json = (origin: ExportOrigin): ExportWriter => ({
  contentType: 'application/json; charset=utf-8',
  head: `{"success":true,"format":"${EXPORT_KIND}","version":${EXPORT_VERSION},"exported_at":"${isoTime(origin.exportedAt)}",` +
    `"backend":${quoted(origin.backend)},"namespace":${quoted(origin.namespace)},"pattern":${origin.pattern === undefined ? 'null' : quoted(origin.pattern)},"entries":[\n`,
  row: (entry, _row, now) => rowText(entry, now, '{', '}'),
  separator: ',\n',
  tail: (total) => `${total === 0 ? '' : '\n'}],"total_items":${total}}\n`
})

const ndjson = (): ExportWriter => ({
  contentType: 'application/x-ndjson; charset=utf-8',
  head: '',
  row: (entry, row, now) => rowText(entry, now, `{"row":${row},`, ''),
  separator: '}\n',
  tail: (total) => total === 0 ? '' : `,"total_items":${total}}\n`
})

const COLUMNS = 'key,namespace,value,data_type,ttl,created_at,accessed_at,access_count,size,metadata,strategy,version,grace'

/** RFC 4180. A value is its JSON text. */
const csv = (): ExportWriter => ({
  contentType: 'text/csv; charset=utf-8; header=present',
  head: `${COLUMNS}\r\n`,
  row: ({ key, namespace, value, dataType, expiresAt, goneAt, createdAt, accessedAt, accessCount, size, metadata = '{}', strategy, version }, _row, now) => [
    cell(inert(key)), cell(inert(namespace)), cell(value.toString()), dataType, secondsLeft(expiresAt, now), isoTime(createdAt),
    isoTime(accessedAt), accessCount, size, cell(metadata), strategy, version, secondsOfGrace({ expiresAt, goneAt }) ?? ''
  ].join(','),
  separator: '\r\n',
  tail: (total) => total === 0 ? '' : '\r\n'
})

export function exportWriter (format: ExportFormat, origin: ExportOrigin): ExportWriter {
  return format === 'json' ? json(origin) : format === 'ndjson' ? ndjson() : csv()
}

/** The names of a stored entry's members, as an import takes them back. */
function rowText (entry: Entry, now: number, before: string, after: string): EncodedValue {
  const head = `${before}"key":${quoted(entry.key)},"namespace":${quoted(entry.namespace)},"value":`
  const tail = `,"data_type":"${entry.dataType}","ttl":${secondsLeft(entry.expiresAt, now)}${graceText(entry)},"created_at":"${isoTime(entry.createdAt)}` +
    `","accessed_at":"${isoTime(entry.accessedAt)}","access_count":${entry.accessCount},"size":${entry.size}` +
    `,"metadata":${entry.metadata ?? '{}'},"strategy":"${entry.strategy}","version":"${entry.version}"${after}`
  return typeof entry.value === 'string' ? head + entry.value + tail : Buffer.concat([Buffer.from(head), entry.value, Buffer.from(tail)])
}

const cell = (text: string): string => /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text

/** A spreadsheet takes what begins like this for a formula (OWASP, CSV injection). */
const inert = (text: string): string => /^[=+\-@\t\r]/.test(text) ? `'${text}` : text
