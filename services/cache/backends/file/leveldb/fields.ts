/** Bytes that do not follow their format. */
export class MalformedError extends Error {
  override readonly name = 'MalformedError'

  constructor (what: string) { super(`${what} does not follow its format`) }
}

/** Reads one field after the other (`util/coding.h` of LevelDB): numbers are little-endian, or varints of seven bits a byte. */
export class Fields {
  at = 0
  #bytes: Buffer

  constructor (bytes: Buffer) { this.#bytes = bytes }

  get isAtEnd (): boolean { return this.at >= this.#bytes.length }

  /** @throws MalformedError, like each of these, where the bytes end before */
  byte (): number {
    const byte = this.#bytes[this.at++]
    if (byte === undefined) throw new MalformedError('a number')
    return byte
  }

  varint (): number {
    let value = 0
    for (let factor = 1; factor < 2 ** 56; factor *= 128) {
      const byte = this.byte()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    throw new MalformedError('a number')
  }

  /** A number of one to six bytes. */
  little (length: number): number { return this.take(length).readUIntLE(0, length) }

  take (length: number): Buffer {
    const end = this.at + length
    if (end > this.#bytes.length) throw new MalformedError('a field')
    const taken = this.#bytes.subarray(this.at, end)
    this.at = end
    return taken
  }

  /** Bytes with their length before them. */
  slice (): Buffer { return this.take(this.varint()) }
}
