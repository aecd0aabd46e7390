import { Fields, MalformedError } from './fields.js'

/** Undoes Snappy's raw format (`format_description.txt` of Snappy), which LevelDB compresses blocks with. @throws MalformedError */
export function uncompressed (bytes: Buffer): Buffer {
  const fields = new Fields(bytes)
  const whole = Buffer.allocUnsafe(checkedLength(fields.varint(), bytes.length))
  let length = 0
  while (!fields.isAtEnd) {
    const tag = fields.byte()
    const kind = tag & 3
    if (kind === 0) {
      const short = tag >>> 2
      const literal = fields.take((short < 60 ? short : fields.little(short - 59)) + 1)
      if (length + literal.length > whole.length) throw new MalformedError('a compressed block')
      literal.copy(whole, length)
      length += literal.length
      continue
    }
    const size = kind === 1 ? (tag >>> 2 & 7) + 4 : (tag >>> 2) + 1
    const distance = kind === 1 ? (tag >>> 5) * 256 + fields.byte() : fields.little(kind === 2 ? 2 : 4)
    if (distance === 0 || distance > length || length + size > whole.length) throw new MalformedError('a compressed block')
    // What is copied may overlap what it is copied to: then it repeats.
    for (let copied = 0; copied < size; copied++, length++) whole[length] = whole[length - distance]!
  }
  if (length !== whole.length) throw new MalformedError('a compressed block')
  return whole
}

/** Three bytes become 64 at the very most. */
function checkedLength (length: number, compressed: number): number {
  if (length > compressed * 64) throw new MalformedError('a compressed block')
  return length
}
