import type { Strategy } from './entry.js'

/** What is reserved for one namespace: its own entries alone take room there, and give it. */
export interface Quota {
  maxItems: number
  /** Bytes, counted as in `Limits`. */
  maxMemory: number
}

/** What holds for an entry where its writer says nothing. */
export interface EntryDefaults {
  /** Seconds that an entry lives when its writer gives none; 0 for ever. */
  defaultTtl: number
  /** The policy of entries whose writer names none. */
  strategy: Strategy
}

/** What a cache may hold, and how it keeps it. All of it may change while the cache runs. */
export interface Limits extends EntryDefaults {
  /** Entries; Infinity where the backend has no such limit. */
  maxItems: number
  /** Bytes: keys, stored values, metadata, and ENTRY_OVERHEAD for each entry; Infinity where the backend has no such limit. */
  maxMemory: number
  /** Seconds between two passes over everything that reclaim what has expired. */
  cleanupInterval: number
  /** By namespace, where the backend can keep them apart. What they leave of the limits is for all other namespaces together. */
  quotas?: ReadonlyMap<string, Quota>
}

/** The defaults of the API's configuration document. */
export const DEFAULT_LIMITS: Readonly<Limits> = Object.freeze({
  maxItems: 10_000, maxMemory: 100 * 1024 * 1024, defaultTtl: 3600, cleanupInterval: 300, strategy: 'lru'
})

/** Whether there is any limit to keep to. */
export const isLimited = ({ maxItems, maxMemory }: Pick<Limits, 'maxItems' | 'maxMemory'>): boolean => maxItems !== Infinity || maxMemory !== Infinity
