import { setImmediate as nextTurn } from 'node:timers/promises'
import type { DataType } from '../entry.js'
import { inSlices } from '../slices.js'

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
  /** Whether all were looked through, or drawn from. */
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

/** Sums over entries in the sample. */
interface Tally { items: number, bytes: number, squares: number }

/**
 * What the entries are, estimated from a sample: items by proportion, bytes by ratio to the bytes of all, which are known
 * (Cochran, "Sampling Techniques", 1977, chapters 3 and 6, with the correction for finite populations: a sample of all has no error).
 * In slices of a few milliseconds.
 * @param prefixes told one by one, those with the most bytes; the rest together
 */
export async function compose (sample: EntrySample, prefixes: number): Promise<Composition> {
  const { entries, ...rest } = sample
  const all = nothing()
  const types = new Map<DataType, Tally>()
  const byPrefix = new Map<string | undefined, Tally>()
  const ttls = TTL_BOUNDS.map(() => ({ given: 0, left: 0 }))
  await inSlices(entries.length, (at) => {
    const { key, dataType, size, lifetime, left } = entries[at] as EntryFacts
    count(all, size)
    count(tallyOf(types, dataType), size)
    count(tallyOf(byPrefix, prefixOf(key)), size)
    ttls[bucketOf(lifetime)]!.given++
    ttls[bucketOf(left)]!.left++
  })
  await nextTurn()
  const part = (tally: Tally): Part => estimate(tally, all, sample)
  const items = (drawn: number): number => all.items === 0 ? 0 : Math.round(sample.items * drawn / all.items)
  const ranked = [...byPrefix].sort(([, a], [, b]) => b.bytes - a.bytes)
  const others = ranked.slice(prefixes)
  await nextTurn()
  return {
    sample: { ...rest, size: entries.length },
    byDataType: [...types].sort(([, a], [, b]) => b.bytes - a.bytes).map(([dataType, tally]) => ({ dataType, ...part(tally) })),
    byPrefix: ranked.slice(0, prefixes).map(([prefix, tally]) => ({ prefix, ...part(tally) })),
    otherPrefixes: { prefixes: others.length, ...part(others.reduce((sum, [, tally]) => plus(sum, tally), nothing())) },
    ttl: {
      buckets: ttls.slice(0, -1).map(({ given, left }, at) => ({
        from: TTL_BOUNDS[at] as number, to: TTL_BOUNDS[at + 1] as number, given: items(given), left: items(left)
      })),
      never: items(ttls.at(-1)?.given ?? 0)
    }
  }
}

function estimate (of: Tally, all: Tally, { items, bytes }: EntrySample): Part {
  const n = all.items
  if (n === 0) return { items: 0, itemsError: 0, bytes: 0, bytesError: 0 }
  /** The part of the population that was not drawn. */
  const undrawn = items <= n ? 0 : 1 - n / items
  const share = of.items / n
  const itemsError = Z95 * items * Math.sqrt(share * (1 - share) / n * undrawn)
  const ratio = of.bytes / all.bytes
  // What each entry's bytes in the part differ from its bytes times the ratio, squared and summed.
  const residuals = Math.max(0, of.squares * (1 - 2 * ratio) + all.squares * ratio * ratio)
  const bytesError = n < 2 ? 0 : Z95 * items * Math.sqrt(residuals / (n - 1) / n * undrawn)
  return { items: Math.round(items * share), itemsError: Math.ceil(itemsError), bytes: Math.round(bytes * ratio), bytesError: Math.ceil(bytesError) }
}

const nothing = (): Tally => ({ items: 0, bytes: 0, squares: 0 })

const plus = (a: Tally, b: Tally): Tally => ({ items: a.items + b.items, bytes: a.bytes + b.bytes, squares: a.squares + b.squares })

function count (tally: Tally, size: number): void {
  tally.items++
  tally.bytes += size
  tally.squares += size * size
}

function tallyOf<K> (tallies: Map<K, Tally>, key: K): Tally {
  let tally = tallies.get(key)
  if (tally === undefined) tallies.set(key, tally = nothing())
  return tally
}

/** Where in TTL_BOUNDS; what never expires is behind the last bound. */
function bucketOf (milliseconds: number): number {
  let bucket = 0
  while (bucket < TTL_BOUNDS.length - 1 && milliseconds >= (TTL_BOUNDS[bucket + 1] as number) * 1000) bucket++
  return bucket
}

function prefixOf (key: string): string | undefined {
  const colon = key.indexOf(':')
  return colon === -1 ? undefined : key.slice(0, Math.min(colon, LONGEST_PREFIX))
}
