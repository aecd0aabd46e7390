import { ProtocolError } from './faults.js'

/** One reply of the server: a line, and with `VA` the value behind it. */
export interface Reply {
  /** The first word of the line. */
  code: string
  /** The other words. */
  words: string[]
  value: Buffer | undefined
}

/** The longest line that makes sense, in bytes: a key of 250 and some flags, or a line of `stats` or of a dump. */
const MAX_LINE = 2048
const LF = 10
const CR = 13

/** Cuts what comes over a connection into replies, whatever pieces it comes in. */
export class ReplyParser {
  /** Bytes that a value may have. */
  maxValue: number
  #hear: (reply: Reply) => void
  /** The beginning of a line whose end has not come yet. */
  #begun: Buffer | undefined
  #reply: Reply | undefined
  /** Room for the value of `#reply`, and how much of it is there; the line's end behind it is counted as well. */
  #value: Buffer | undefined
  #filled = 0

  constructor (maxValue: number, hear: (reply: Reply) => void) {
    this.maxValue = maxValue
    this.#hear = hear
  }

  /** @throws ProtocolError for what is no reply; nothing more may be fed then */
  feed (chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) at = this.#value === undefined ? this.#line(chunk, at) : this.#fill(this.#value, chunk, at)
  }

  #line (chunk: Buffer, start: number): number {
    const end = chunk.indexOf(LF, start)
    const piece = chunk.subarray(start, end === -1 ? chunk.length : end)
    const line = this.#begun === undefined ? piece : Buffer.concat([this.#begun, piece])
    if (line.length > MAX_LINE) throw new ProtocolError('A line without an end')
    if (end === -1) {
      this.#begun = Buffer.from(line) // the chunk's memory is not ours to keep
      return chunk.length
    }
    this.#begun = undefined
    const isWhole = line[line.length - 1] === CR
    const [code = '', ...words] = line.toString('latin1', 0, isWhole ? line.length - 1 : line.length).split(' ')
    // Only the lines of a dump have no CR.
    if (!isWhole && !code.startsWith('key=')) throw new ProtocolError('A line that ends in LF alone')
    const reply = { code, words, value: undefined }
    if (code === 'VA') this.#expectValue(reply)
    else this.#hear(reply)
    return end + 1
  }

  #expectValue (reply: Reply): void {
    const [length = ''] = reply.words
    if (!/^\d{1,10}$/.test(length) || Number(length) > this.maxValue) throw new ProtocolError(`A value of ${length.slice(0, 20)} bytes`)
    this.#reply = reply
    this.#value = Buffer.allocUnsafeSlow(Number(length))
    this.#filled = 0
  }

  #fill (value: Buffer, chunk: Buffer, start: number): number {
    let at = start
    if (this.#filled < value.length) {
      const copied = chunk.copy(value, this.#filled, at)
      this.#filled += copied
      at += copied
    }
    for (; at < chunk.length && this.#filled < value.length + 2; at++, this.#filled++) {
      if (chunk[at] !== (this.#filled === value.length ? CR : LF)) throw new ProtocolError('A value that is longer than it was said to be')
    }
    if (this.#filled === value.length + 2) {
      const reply = { ...this.#reply as Reply, value }
      this.#reply = this.#value = undefined
      this.#hear(reply)
    }
    return at
  }
}
