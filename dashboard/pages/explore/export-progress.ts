export type ExportFormat = 'json' | 'ndjson' | 'csv'

/** Lines before the first entry. */
const HEAD: Record<ExportFormat, number> = { json: 1, ndjson: 0, csv: 1 }
/** Bytes in which the end of a file says how many entries it has. */
const TAIL = 64
const LINE_END = 0x0a

/** Follows an export as it comes: each entry is a line. */
export class ExportProgress {
  bytes = 0
  readonly #format: ExportFormat
  #lines = 0
  #tail = ''

  constructor (format: ExportFormat) { this.#format = format }

  /** Entries that have come so far; by the end of the file, once that is there. */
  get entries (): number { return this.#total() ?? Math.max(0, this.#lines - HEAD[this.#format]) }

  /** Whether the file is whole. CSV does not tell. */
  get isWhole (): boolean { return this.#format === 'csv' || (this.#format === 'ndjson' && this.bytes === 0) || this.#total() !== undefined }

  add (chunk: Uint8Array): void {
    this.bytes += chunk.length
    for (let at = chunk.indexOf(LINE_END); at !== -1; at = chunk.indexOf(LINE_END, at + 1)) this.#lines++
    // What is cut through is no part of what is looked for.
    this.#tail = (this.#tail + new TextDecoder('latin1').decode(chunk.subarray(-TAIL))).slice(-TAIL)
  }

  #total (): number | undefined {
    if (this.#format === 'csv') return undefined
    const said = /"total_items":(\d+)\}\s*$/.exec(this.#tail)?.[1]
    return said === undefined ? undefined : Number(said)
  }
}
