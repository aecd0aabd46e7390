import { createHash } from 'node:crypto'

/** The name of an item. */
export interface ItemName {
  /** As it is sent: a token of the protocol. */
  readonly token: string
  /** Whether the token is the base64 of the name's bytes. */
  readonly isBinary: boolean
  /** Whether it has a hash in the key's place: the key was too long to be a name, or no text that UTF-8 can hold. */
  readonly isHashed: boolean
}

/** The longest token that the server takes, in characters. */
const LONGEST = 250
/** Everything that a token may hold: whatever else is in a name could end it, or the line. */
const SAFE = /^[\x21-\x7e]+$/
const LONE_SURROGATE = /\p{Surrogate}/u
/** The bytes that a base64 token of that length stands for. */
const LONGEST_BINARY = Math.floor(LONGEST / 4) * 3

/** Which item of a key: the record, or the reads of it. The second mark stands where the key is kept as a hash. */
const MARKS = { record: ['=', '#'], reads: ['+', '*'] } as const

/** Names the items of one epoch of one cache: see `Coordination`. */
export class ItemNames {
  readonly prefix: string

  /** @param prefix safe, and without a colon */
  constructor (prefix: string, epoch: string) {
    this.prefix = `${prefix}:${epoch}:`
  }

  of (namespace: string, key: string, kind: keyof typeof MARKS = 'record'): ItemName {
    const [mark, hashMark] = MARKS[kind]
    const isSafe = SAFE.test(key)
    const length = this.prefix.length + namespace.length + 2 + Buffer.byteLength(key)
    if (length > (isSafe ? LONGEST : LONGEST_BINARY) || LONE_SURROGATE.test(key)) {
      // As UTF-16, which tells halves of surrogate pairs apart.
      const hash = createHash('sha256').update(key, 'utf16le').digest('base64url')
      return { token: `${this.prefix}${namespace}:${hashMark}${hash}`, isBinary: false, isHashed: true }
    }
    const name = `${this.prefix}${namespace}:${mark}${key}`
    return { token: isSafe ? name : Buffer.from(name).toString('base64'), isBinary: !isSafe, isHashed: false }
  }

  /** The beginning of the names of a namespace, or of all. */
  beginning (namespace: string | undefined): Buffer { return Buffer.from(namespace === undefined ? this.prefix : `${this.prefix}${namespace}:`) }

  /** What a record's item is named after, from its name in a dump; the key is undefined when it is hashed. Undefined for any other item. */
  parse (name: Buffer): { namespace: string, key: string | undefined, name: ItemName } | undefined {
    const text = name.toString('utf8')
    if (!text.startsWith(this.prefix)) return undefined
    const colon = text.indexOf(':', this.prefix.length)
    if (colon === -1) return undefined
    const namespace = text.slice(this.prefix.length, colon)
    const key = text.slice(colon + 2)
    switch (text[colon + 1]) {
      case MARKS.record[0]: return { namespace, key, name: this.of(namespace, key) }
      case MARKS.record[1]: return { namespace, key: undefined, name: { token: text, isBinary: false, isHashed: true } }
      default: return undefined
    }
  }
}
