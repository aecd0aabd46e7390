/** The names of what one cache keeps in Redis. In a cluster the prefix holds a hash tag, so that all of it is in one slot. */
export class Keyspace {
  readonly prefix: string

  constructor (prefix: string) { this.prefix = prefix }

  get counter (): string { return `${this.prefix}:counter` }
  get ledger (): string { return `${this.prefix}:ledger` }
  get index (): string { return `${this.prefix}:index` }
  get channel (): string { return `${this.prefix}:changes` }

  entry (namespace: string, key: string): string { return `${this.prefix}:entry:${namespace}:${key}` }

  lease (namespace: string, key: string): string { return `${this.prefix}:lease:${namespace}:${key}` }

  /** A glob over the entries of a namespace, or of all. */
  entries (namespace: string | undefined): string {
    const start = namespace === undefined ? `${this.prefix}:entry:` : this.entry(namespace, '')
    return `${start.replace(/[\\*?[\]]/g, '\\$&')}*`
  }

  /** What an entry's name is made of. */
  parts (name: string): [namespace: string, key: string] {
    const start = `${this.prefix}:entry:`.length
    const colon = name.indexOf(':', start)
    return [name.slice(start, colon), name.slice(colon + 1)]
  }
}
