import { MemoryBackend } from '../../../../../services/cache/backends/memory.js'
import { ENTRY_OVERHEAD, NO_TAGS, type StoredEntry } from '../../../../../services/cache/entry.js'
import { Ledger } from '../../../../../services/cache/ledger.js'
import { DEFAULT_LIMITS, type Limits } from '../../../../../services/cache/limits.js'
import { ManualClock } from '../../setup.js'

/** A memory backend, and what stands around it in a cache. */
export function setUp (changes: Partial<Limits> = {}) {
  const clock = new ManualClock()
  const ledger = new Ledger()
  const memory = new MemoryBackend({ now: clock.now, ledger, limits: { ...DEFAULT_LIMITS, ...changes } })
  let version = 0
  const put = (key: string, facts: Partial<StoredEntry> = {}): number => memory.put({
    namespace: 'n',
    key,
    value: '1',
    dataType: 'json',
    tags: NO_TAGS,
    metadata: undefined,
    strategy: 'lru',
    createdAt: clock.at,
    accessedAt: clock.at,
    accessCount: 0,
    expiresAt: Infinity,
    goneAt: facts.expiresAt ?? Infinity,
    version: ++version,
    stamp: ledger.stamp,
    ...facts
  })
  const has = (key: string, namespace = 'n'): boolean => memory.find(namespace, key) !== -1
  const keys = async (namespace = 'n'): Promise<string[]> => {
    const { entries } = await memory.list(namespace, { limit: 1e9 })
    return entries.map(({ key }) => key).sort()
  }
  return { clock, ledger, memory, put, has, keys }
}

/** Bytes of an entry with a one-byte key and a value of so many. */
/** Bytes that an entry with a key of one letter counts as. */
export const small = (valueLength: number): number => ENTRY_OVERHEAD + 1 + valueLength
