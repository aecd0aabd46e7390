import type { DataType } from '../entry.js'

/** What is told of an entry that is looked at. */
export interface EntryFacts {
  key: string
  dataType: DataType
  /** Bytes counted against the limit. */
  size: number
  /** Milliseconds that it was given, Infinity for ever. */
  lifetime: number
  /** Milliseconds that it has left. */
  left: number
}

/** Entries chosen at random, and what they stand for. */
export interface EntrySample {
  entries: readonly EntryFacts[]
  /** Entries that there are, and their bytes; as far as they were looked through when that was not all. */
  items: number
  bytes: number
  /** Where they were looked for. */
  source: 'memory' | 'backend' | 'memory_tier'
  /** Whether all were looked through. */
  isComplete: boolean
}

/** Part of what is held. `itemsError` and `bytesError`: the true number is within that of the estimate in 95 of 100 cases. */
export interface Part { items: number, itemsError: number, bytes: number, bytesError: number }

/** Entries by the time to live they were given (`given`) and by what is left of it (`left`), estimated; seconds, `to` exclusive. */
export interface TtlBucket { from: number, to: number, given: number, left: number }

export interface Composition {
  sample: Omit<EntrySample, 'entries'> & { size: number }
  byDataType: (Part & { dataType: DataType })[]
  /** By what stands before the first colon, undefined for keys without one; the most bytes first. */
  byPrefix: (Part & { prefix: string | undefined })[]
  /** All prefixes that are not in `byPrefix`. */
  otherPrefixes: Part & { prefixes: number }
  ttl: { buckets: TtlBucket[], never: number }
}

const MINUTE = 60
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR
const TTL_BOUNDS = [0, 1, 10, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY, Infinity]
/** UTF-16 units of a prefix that are told apart. */
const LONGEST_PREFIX = 100

/** Normal distribution: 95 of 100 are within so many standard deviations. */
const Z95 = 1.96

/**
 * What the entries are, estimated from a sample: items by proportion, bytes by ratio to the bytes of all, which are known
 * (Cochran, "Sampling Techniques", 1977, chapters 3 and 6, with the correction for finite populations: a sample of all has no error).
 */
export function compose (sample: EntrySample, prefixes: number): Composition {
  const { entries, ...rest } = sample
  const estimator = new Estimator(sample)
  const parts = [...grouped(entries, ({ key }) => prefixOf(key))]
    .map(([prefix, members]) => ({ prefix, members, bytes: bytesOf(members) }))
    .sort((a, b) => b.bytes - a.bytes)
  const others = parts.slice(prefixes)
  return {
    sample: { ...rest, size: entries.length },
    byDataType: [...grouped(entries, ({ dataType }) => dataType)]
      .map(([dataType, members]) => ({ dataType, ...estimator.part(members) }))
      .sort((a, b) => b.bytes - a.bytes),
    byPrefix: parts.slice(0, prefixes).map(({ prefix, members }) => ({ prefix, ...estimator.part(members) })),
    otherPrefixes: { prefixes: others.length, ...estimator.part(others.flatMap(({ members }) => members)) },
    ttl: ttlOf(entries, estimator)
  }
}

function ttlOf (entries: readonly EntryFacts[], estimator: Estimator): Composition['ttl'] {
  const counts = TTL_BOUNDS.map(() => ({ given: 0, left: 0 }))
  // What never expires falls beyond the last bound.
  const at = (milliseconds: number): { given: number, left: number } => {
    let bucket = 0
    while (bucket < TTL_BOUNDS.length - 1 && milliseconds >= (TTL_BOUNDS[bucket + 1] as number) * 1000) bucket++
    return counts[bucket] as { given: number, left: number }
  }
  for (const { lifetime, left } of entries) {
    at(lifetime).given++
    at(left).left++
  }
  const buckets = counts.slice(0, -1).map(({ given, left }, bucket) => ({
    from: TTL_BOUNDS[bucket] as number, to: TTL_BOUNDS[bucket + 1] as number, given: estimator.items(given), left: estimator.items(left)
  }))
  return { buckets, never: estimator.items(counts.at(-1)?.given ?? 0) }
}

class Estimator {
  #sample: EntrySample
  #bytes: number
  #squares: number
  /** The part of the population that was not drawn. */
  #undrawn: number

  constructor (sample: EntrySample) {
    const { entries, items } = sample
    this.#sample = sample
    this.#bytes = bytesOf(entries)
    this.#squares = entries.reduce((sum, { size }) => sum + size * size, 0)
    this.#undrawn = items <= entries.length ? 0 : 1 - entries.length / items
  }

  items (drawn: number): number {
    const { entries, items } = this.#sample
    return entries.length === 0 ? 0 : Math.round(items * drawn / entries.length)
  }

  part (members: readonly EntryFacts[]): Part {
    const { entries: { length: n }, items: N, bytes: total } = this.#sample
    if (n === 0) return { items: 0, itemsError: 0, bytes: 0, bytesError: 0 }
    const share = members.length / n
    const itemsError = Z95 * N * Math.sqrt(share * (1 - share) / n * this.#undrawn)
    const ratio = this.#bytes === 0 ? 0 : bytesOf(members) / this.#bytes
    // What each entry's bytes in the part differ from its bytes times the ratio, squared and summed.
    const squares = members.reduce((sum, { size }) => sum + size * size, 0)
    const residuals = squares * (1 - 2 * ratio) + this.#squares * ratio * ratio
    const bytesError = n < 2 ? 0 : Z95 * N * Math.sqrt(Math.max(0, residuals) / (n - 1) / n * this.#undrawn)
    return { items: this.items(members.length), itemsError: Math.ceil(itemsError), bytes: Math.round(total * ratio), bytesError: Math.ceil(bytesError) }
  }
}

const bytesOf = (entries: readonly EntryFacts[]): number => entries.reduce((sum, { size }) => sum + size, 0)

function prefixOf (key: string): string | undefined {
  const colon = key.indexOf(':')
  return colon === -1 ? undefined : key.slice(0, Math.min(colon, LONGEST_PREFIX))
}

function grouped<K> (entries: readonly EntryFacts[], by: (entry: EntryFacts) => K): Map<K, EntryFacts[]> {
  const groups = new Map<K, EntryFacts[]>()
  for (const entry of entries) {
    const group = groups.get(by(entry))
    if (group === undefined) groups.set(by(entry), [entry])
    else group.push(entry)
  }
  return groups
}
