import { isUtf8 } from 'node:buffer'
import parse from 'secure-json-parse'
import { invalidField } from '../errors.js'
import { isDeeperThan, MAX_DEPTH } from '../json-depth.js'
import { EXPORT_KIND, EXPORT_VERSION, type ImportFormat } from './format.js'

/** Bytes of one entry, which has to be in memory at once, and of what stands around them. */
const MAX_ROW = 16 * 1024 * 1024
const MAX_FRAME = 64 * 1024

/** An entry of a file, and the line that it begins at, from 1. */
export interface Row { line: number, value: Record<string, unknown> }

/** What is wrong with a file, and where. */
export const faultAt = (line: number, fault: string): Error => invalidField(`line ${line}`, fault)

/**
 * The entries of a file that `exportCache` made, one by one; the layout of JSON may have changed since. The end tells whether the file
 * is whole, so that whoever wants all or nothing reads to the end before anything else.
 * @throws InvalidInputError, with the line at fault
 */
export function readRows (chunks: AsyncIterable<Buffer>, format: ImportFormat): AsyncGenerator<Row> {
  return format === 'json' ? jsonRows(chunks) : ndjsonRows(chunks)
}

const NEWLINE = 0x0a

async function * ndjsonRows (chunks: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  let total: unknown
  let count = 0
  let line = 0
  for await (const bytes of linesOf(chunks)) {
    line++
    if (bytes.every(isBlank)) continue
    if (total !== undefined) throw faultAt(line, 'comes after the one that says it is the last: send one file at a time.')
    const { row, total_items: said, ...value } = parseObject(bytes, line)
    if (row !== ++count) throw faultAt(line, `must be row ${count} of an export, with "row": ${count}: lines are missing, in another order, or of another origin.`)
    total = said
    yield { line, value }
  }
  if (total !== count) throw faultAt(Math.max(1, line), total === undefined ? CUT_OFF : `says that there are ${JSON.stringify(total)} rows, and is row ${count}: some are missing.`)
}

const CUT_OFF = 'is where the file ends, without the "total_items" that the end of an export says: the file was cut off, or is of another origin.'

/** The last one need not end in a newline. */
async function * linesOf (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let rest: Buffer[] = []
  let length = 0
  let line = 1
  for await (const chunk of chunks) {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, start)) {
      const piece = chunk.subarray(start, end)
      yield length === 0 ? piece : Buffer.concat([...rest, piece])
      line++
      rest = []
      length = 0
      start = end + 1
    }
    if (start === chunk.length) continue
    rest.push(chunk.subarray(start))
    length += chunk.length - start
    if (length > MAX_ROW) throw faultAt(line, `is longer than ${MAX_ROW} bytes.`)
  }
  if (length > 0) yield Buffer.concat(rest)
}

const isBlank = (byte: number): boolean => byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09

async function * jsonRows (chunks: AsyncIterable<Buffer>): AsyncGenerator<Row> {
  const splitter = new Splitter()
  let count = 0
  for await (const chunk of chunks) {
    for (const { line, bytes } of splitter.split(chunk)) {
      count++
      yield { line, value: parseObject(bytes, line) }
    }
  }
  const { line, text } = splitter.end()
  if (text === undefined) throw faultAt(line, CUT_OFF)
  const { format, version, total_items: total } = parseObject(Buffer.from(text, 'latin1'), line)
  if (format !== EXPORT_KIND || version !== EXPORT_VERSION) {
    throw faultAt(1, `must begin an export of Larder, with "format": "${EXPORT_KIND}" and "version": ${EXPORT_VERSION}.`)
  }
  if (total !== count) throw faultAt(line, `says that there are ${JSON.stringify(total)} entries, and there are ${count}: some are missing.`)
}

function parseObject (bytes: Buffer, line: number): Record<string, unknown> {
  if (!isUtf8(bytes)) throw faultAt(line, 'is not valid UTF-8.')
  // The line itself is one level more than the value in it.
  if (isDeeperThan(bytes, MAX_DEPTH + 2)) throw faultAt(line, `nests more than ${MAX_DEPTH} arrays and objects in each other.`)
  let value: unknown
  try {
    value = parse(bytes.toString(), { protoAction: 'error', constructorAction: 'error' })
  } catch (error) {
    throw faultAt(line, `is not valid JSON: ${(error as Error).message.slice(0, 100)}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw faultAt(line, 'must be an object.')
  return value as Record<string, unknown>
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const OPEN = 0x7b
const OPEN_LIST = 0x5b
const CLOSE_LIST = 0x5d
const COMMA = 0x2c
const ENTRIES = /"entries"\s{0,16}:\s{0,16}$/
const NAME_ROOM = 64

/**
 * Cuts the objects in the array `entries` out of a JSON text that comes in chunks, and keeps what stands around them. It tells where
 * things begin and end; whether they are valid is for a parser to say, which is given each piece in full.
 */
class Splitter {
  #state: 'before' | 'between' | 'inside' | 'after' = 'before'
  #line = 1
  /** Of the piece that is being read: its start's line, its bytes in earlier chunks, and where it stands. */
  #startLine = 1
  #pieces: Buffer[] = []
  #length = 0
  #depth = 0
  #inText = false
  #escaped = false
  /** Whether a comma has come since the last entry. */
  #comma = true
  #any = false
  #frame = ''

  /** The text around the entries, undefined when it does not end. */
  end (): { line: number, text: string | undefined } {
    return { line: this.#line, text: this.#state === 'after' && this.#depth === 0 && !this.#inText ? this.#frame : undefined }
  }

  * split (chunk: Buffer): Generator<{ line: number, bytes: Buffer }> {
    let start = 0
    for (let at = 0; at < chunk.length; at++) {
      const byte = chunk[at] as number
      if (byte === NEWLINE) this.#line++
      if (this.#inText) {
        if (this.#escaped) this.#escaped = false
        else if (byte === BACKSLASH) this.#escaped = true
        else if (byte === QUOTE) this.#inText = false
        continue
      }
      if (this.#state === 'between') {
        if (isBlank(byte)) continue
        start = at
        this.#between(byte)
        continue
      }
      if (byte === QUOTE) {
        this.#inText = true
      } else if ((byte | 0x20) === 0x7b) { // [ or {
        this.#depth++
        if (this.#state === 'before' && byte === OPEN_LIST && this.#depth === 2 && this.#isNamed(chunk.subarray(start, at))) {
          this.#keepFrame(chunk.subarray(start, at + 1))
          this.#state = 'between'
        }
      } else if ((byte | 0x20) === 0x7d) { // ] or }
        this.#depth--
        if (this.#state === 'inside' && this.#depth === 2) {
          const piece = chunk.subarray(start, at + 1)
          yield { line: this.#startLine, bytes: this.#length === 0 ? piece : Buffer.concat([...this.#pieces, piece]) }
          this.#pieces = []
          this.#length = 0
          this.#state = 'between'
        }
      }
    }
    this.#keepRest(chunk, start)
  }

  #between (byte: number): void {
    if (byte === COMMA && !this.#comma) {
      this.#comma = true
    } else if (byte === CLOSE_LIST && (!this.#comma || !this.#any)) {
      this.#depth--
      this.#state = 'after'
    } else if (byte === OPEN && this.#comma) {
      this.#depth++
      this.#startLine = this.#line
      this.#comma = false
      this.#any = true
      this.#state = 'inside'
    } else {
      throw faultAt(this.#line, 'must hold an object in the array "entries", or its end.')
    }
  }

  #keepRest (chunk: Buffer, start: number): void {
    if (this.#state === 'between') return
    const rest = chunk.subarray(start)
    if (this.#state !== 'inside') {
      this.#keepFrame(rest)
      return
    }
    this.#pieces.push(rest)
    this.#length += rest.length
    if (this.#length > MAX_ROW) throw faultAt(this.#startLine, `begins an entry of more than ${MAX_ROW} bytes.`)
  }

  /** Whether the array that begins behind this is `entries`. Looks at a few bytes only, since there may be many brackets. */
  #isNamed (before: Buffer): boolean {
    return ENTRIES.test(this.#frame.slice(-NAME_ROOM) + before.subarray(-NAME_ROOM).toString('latin1'))
  }

  #keepFrame (bytes: Buffer): void {
    this.#frame += bytes.subarray(0, MAX_FRAME + 1).toString('latin1')
    if (this.#frame.length > MAX_FRAME) {
      throw faultAt(this.#line, this.#state === 'before' ? `must begin an export of Larder, with "format": "${EXPORT_KIND}" and "entries".` : 'holds more than the end of an export.')
    }
  }
}
