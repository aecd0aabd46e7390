import { createHash } from 'node:crypto'

/** The name of an item. */
export interface ItemName {
  /** As it is sent: a token of the protocol. */
  readonly token: string
  /** Whether it has a hash in the key's place: then its item has to say what its key is. */
  readonly isHashed: boolean
}

/** The longest token that the server takes, in characters. */
const LONGEST = 250
/**
 * Everything that a token may hold: whatever else is in a key could end it, or the line. The protocol has a base64 form for such keys,
 * but an item that 1.6.18 makes for a claim under one is named in answers by its bare bytes, line ends included.
 */
const SAFE = /^[\x21-\x7e]+$/

/** Which item of a key: the record, or the reads of it. The second mark stands where the key is kept as a hash. */
const MARKS = { record: ['=', '#'], reads: ['+', '*'] } as const

/** Names the items of one epoch of one cache: see `Coordination`. */
export class ItemNames {
  readonly #prefix: string

  /** @param prefix safe, and without a colon; so is the epoch */
  constructor (prefix: string, epoch: string) {
    this.#prefix = `${prefix}:${epoch}:`
  }

  of (namespace: string, key: string, kind: keyof typeof MARKS = 'record'): ItemName {
    const [mark, hashMark] = MARKS[kind]
    const name = `${this.#prefix}${namespace}:${mark}${key}`
    if (name.length <= LONGEST && SAFE.test(key)) return { token: name, isHashed: false }
    // As UTF-16, which tells halves of surrogate pairs apart.
    const hash = createHash('sha256').update(key, 'utf16le').digest('base64url')
    return { token: `${this.#prefix}${namespace}:${hashMark}${hash}`, isHashed: true }
  }

  /** What all names of a namespace begin with, or those of all namespaces. */
  beginning (namespace: string | undefined): string { return namespace === undefined ? this.#prefix : `${this.#prefix}${namespace}:` }

  /** What a record's item is named after; the key is undefined when it is hashed. Undefined for any other item. */
  parse (token: string): { namespace: string, key: string | undefined, name: ItemName } | undefined {
    const colon = token.indexOf(':', this.#prefix.length)
    if (!token.startsWith(this.#prefix) || colon === -1) return undefined
    const namespace = token.slice(this.#prefix.length, colon)
    switch (token[colon + 1]) {
      case MARKS.record[0]: return { namespace, key: token.slice(colon + 2), name: { token, isHashed: false } }
      case MARKS.record[1]: return { namespace, key: undefined, name: { token, isHashed: true } }
      default: return undefined
    }
  }
}
