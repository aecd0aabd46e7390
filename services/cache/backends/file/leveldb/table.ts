import { crc32c, storedChecksum } from './crc32c.js'
import { Fields, MalformedError } from './fields.js'
import { uncompressed } from './snappy.js'
import { keyOf, type KeyRange, type Version, versionOf } from './versions.js'

/*
 * A table of LevelDB (`doc/table_format.md` of LevelDB): blocks of rows, blocks about them, an index of the former, and a footer that says where
 * the others are. Behind each block stand its kind of compression (1 byte) and a checksum over both (4 bytes).
 */
const FOOTER = 48
const MAGIC = Buffer.from('57fb808b247547db', 'hex')
const TRAILER = 5
const PLAIN = 0
const SNAPPY = 1

interface Handle { readonly at: number, readonly size: number }
interface Row { readonly key: Buffer, readonly value: Buffer }

/** A block of rows, and the keys between which they are. */
export interface RowBlock extends Handle { readonly range: KeyRange }

/** A table of which it is known where its rows are, whether or not they are sound. */
export class Table {
  readonly blocks: readonly RowBlock[]
  /** Whether what helps to look rows up, and holds none, is as it was written. */
  readonly isFilterSound: boolean
  #bytes: Buffer

  private constructor (bytes: Buffer, blocks: RowBlock[], isFilterSound: boolean) {
    this.#bytes = bytes
    this.blocks = blocks
    this.isFilterSound = isFilterSound
  }

  /** @param from the first key in it. Undefined for one whose footer or index is damaged. */
  static read (bytes: Buffer, from: Buffer): Table | undefined {
    try {
      if (bytes.length < FOOTER || !bytes.subarray(-MAGIC.length).equals(MAGIC)) return undefined
      const footer = new Fields(bytes.subarray(-FOOTER, -MAGIC.length))
      const about = handleIn(footer)
      const blocks: RowBlock[] = []
      let next = 0
      for (const { key, value } of rowsIn(block(bytes, handleIn(footer)))) {
        const handle = handleIn(new Fields(value))
        if (handle.at !== next) return undefined
        next += handle.size + TRAILER
        // The index has a key behind the last of each block, and before the first of the next.
        const to = keyOf(key)
        blocks.push({ ...handle, range: { from: blocks.at(-1)?.range.to ?? from, to } })
      }
      return new Table(bytes, blocks, areSound(bytes, about))
    } catch (error) {
      if (error instanceof MalformedError) return undefined
      throw error
    }
  }

  isSound (block: RowBlock): boolean { return isSound(this.#bytes, block) }

  /** The changes in a block that is sound. @throws MalformedError */
  * versions (of: RowBlock): Generator<Version> { for (const { key, value } of rowsIn(block(this.#bytes, of))) yield versionOf(key, value) }
}

/** The block of names and handles, and what each of these is about. */
function areSound (bytes: Buffer, about: Handle): boolean {
  try {
    for (const { value } of rowsIn(block(bytes, about))) if (!isSound(bytes, handleIn(new Fields(value)))) return false
    return true
  } catch (error) {
    if (error instanceof MalformedError) return false
    throw error
  }
}

const handleIn = (fields: Fields): Handle => ({ at: fields.varint(), size: fields.varint() })

function isSound (bytes: Buffer, { at, size }: Handle): boolean {
  const end = at + size
  return end + TRAILER <= bytes.length - FOOTER && crc32c(bytes, at, end + 1) === storedChecksum(bytes, end + 1)
}

function block (bytes: Buffer, handle: Handle): Buffer {
  if (!isSound(bytes, handle)) throw new MalformedError('a block')
  const end = handle.at + handle.size
  const content = bytes.subarray(handle.at, end)
  const compression = bytes[end]
  if (compression !== PLAIN && compression !== SNAPPY) throw new MalformedError('a block')
  return compression === SNAPPY ? uncompressed(content) : content
}

/** Rows share the start of their key with the one before. Behind them stand places to begin at, which nobody here needs, and their number. */
function * rowsIn (content: Buffer): Generator<Row> {
  const end = content.length < 4 ? -1 : content.length - 4 * (content.readUInt32LE(content.length - 4) + 1)
  if (end < 0) throw new MalformedError('a block')
  const fields = new Fields(content.subarray(0, end))
  let key: Buffer = Buffer.alloc(0)
  while (!fields.isAtEnd) {
    const shared = fields.varint()
    const own = fields.varint()
    const length = fields.varint()
    if (shared > key.length) throw new MalformedError('a block')
    key = Buffer.concat([key.subarray(0, shared), fields.take(own)])
    yield { key, value: fields.take(length) }
  }
}
