import { hash } from 'node:crypto'

/** How many are remembered in each of two generations. */
const GENERATION = 4096

interface Known { readonly version: string, readonly tag: string }

/**
 * The strong entity tag of data: the same bytes have the same one, in each process and after each load. 128 bits of SHA-256.
 * @param metadata what tells apart two representations that may have the same bytes, such as their content types
 */
export function contentTag (bytes: string | NodeJS.ArrayBufferView, metadata = ''): string {
  const digest = hash('sha256', bytes, 'hex')
  return `"${(metadata === '' ? digest : hash('sha256', metadata + digest, 'hex')).slice(0, 32)}"`
}

/** The tags of what is cached: made once for each version of an entry that this process meets, not for each request. */
export class EntityTags {
  #recent = new Map<string, Known>()
  #older = new Map<string, Known>()

  /** @param version of the entry, which no other content of the key has */
  of (key: string, version: string, make: () => string): string {
    let known = this.#recent.get(key)
    if (known?.version === version) return known.tag
    known = this.#older.get(key)
    if (known?.version !== version) known = { version, tag: make() }
    if (this.#recent.size >= GENERATION) {
      this.#older = this.#recent
      this.#recent = new Map()
    }
    this.#recent.set(key, known)
    return known.tag
  }
}
