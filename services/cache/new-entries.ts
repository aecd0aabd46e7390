import type { Now } from './clock.js'
import { goneAfter, graceOf, type NewEntry, NO_TAGS, type StoredEntry } from './entry.js'
import { checkGrace, checkTtl } from './lifetime.js'
import type { EntryDefaults } from './limits.js'

export interface NewEntriesOptions {
  now: Now
  /** Of a namespace, as they are at the moment. */
  defaults: (namespace: string) => EntryDefaults
  version: () => number
}

/** Makes of what a caller gives an entry to store, with a version of its own and with defaults where the caller is silent. */
export class NewEntries {
  #now: Now
  #defaults: NewEntriesOptions['defaults']
  #version: () => number

  constructor ({ now, defaults, version }: NewEntriesOptions) {
    this.#now = now
    this.#defaults = defaults
    this.#version = version
  }

  /** @throws InvalidLifetimeError */
  make (namespace: string, key: string, { value, dataType, ttl, grace = 0, tags, metadata, strategy }: NewEntry): StoredEntry {
    const now = this.#now()
    const defaults = this.#defaults(namespace)
    checkGrace(key, grace)
    const expiresAt = this.expiry(key, ttl ?? defaults.defaultTtl)
    return {
      namespace,
      key,
      value,
      dataType,
      tags: tags === undefined || tags.length === 0 ? NO_TAGS : tags,
      metadata,
      strategy: strategy ?? defaults.strategy,
      createdAt: now,
      accessedAt: now,
      accessCount: 0,
      expiresAt,
      goneAt: goneAfter(expiresAt, grace),
      version: this.#version(),
      stamp: 0
    }
  }

  /** @param ttl seconds, 0 never expires. @throws InvalidLifetimeError */
  expiry (key: string, ttl: number): number {
    checkTtl(key, ttl)
    return ttl === 0 ? Infinity : this.#now() + ttl * 1000
  }

  /** The next version of an entry, with another value, and another TTL where one is given. */
  next (entry: StoredEntry, value: NewEntry['value'], ttl: number | undefined): StoredEntry {
    const next = { ...entry, value, accessedAt: this.#now(), version: this.#version() }
    if (ttl === undefined) return next
    const expiresAt = this.expiry(entry.key, ttl)
    return { ...next, expiresAt, goneAt: goneAfter(expiresAt, graceOf(entry) / 1000) }
  }
}
