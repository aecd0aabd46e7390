import type { Now } from '../clock.js'
import { policyOf, sizeOf, type Strategy } from '../entry.js'
import { type Invalidation, Ledger } from '../ledger.js'
import { isLimited, type Limits } from '../limits.js'
import { hashKey } from '../policies/hash.js'
import { policies } from '../policies/index.js'
import { type Facts, MiniCache } from './mini-cache.js'
import type { Observed } from './observer.js'

/** The sizes that are tried, as parts of the present one. */
export const SIZE_FACTORS = [0.5, 1, 2, 4] as const
/** Keys that the cache of the present size is to be sampled down to, at most. */
const SAMPLE = 640
/** Sampled reads that an answer needs, and those of a window at least; two windows are looked at. */
const ENOUGH = 1000
const WINDOW = 32 * SAMPLE
/** Sampled misses from which on they tell how many one of them stands for. */
const ENOUGH_MISSES = 50
/** Bytes of an entry as long as none are known. */
const USUAL_SIZE = 512
/** Invalidations after which the sample is held against them, so that they can be forgotten. */
const MARKERS = 4096
/** Entries, sampled down, that the trial of the present size has room for; beyond it the sample is chosen anew. */
const ROOM = 1024

export interface WhatIfReport {
  strategy: Strategy
  /** Percent of the reads that this rests on that found their entry. */
  actualHitRate: number
  /** Reads that it rests on; of these, the ones of keys in the sample; the keys in the sample; and the part of all keys that is sampled. */
  reads: number
  sampledReads: number
  sampledKeys: number
  samplingRate: number
  /** Percent that would have found theirs. A limit may be Infinity. */
  points: { factor: number, maxItems: number, maxMemory: number, hitRate: number }[]
}

/** What one process has tried, for whoever puts several together; limits are null where there are none. */
export interface WhatIfTold {
  strategy: Strategy
  maxItems: number | null
  maxMemory: number | null
  rate: number
  sampledKeys: number
  reads: number
  hits: number
  sampledReads: number
  sampledHits: number
  trialHits: number[]
}

interface Window { reads: number, hits: number, sampledReads: number, sampledHits: number, trialHits: number[] }
interface Size { maxItems: number, maxMemory: number, strategy: Strategy }

const emptyWindow = (): Window => ({ reads: 0, hits: 0, sampledReads: 0, sampledHits: 0, trialHits: SIZE_FACTORS.map(() => 0) })

/**
 * The hit ratio that the cache would have at other sizes: small caches, without values, follow the accesses of a sample of the keys,
 * chosen by their hash, each as large in proportion. At most 4096 keys in the largest. The sample's share follows from the limits, and
 * is chosen anew when they, or the strategy, change.
 * (SHARDS: Waldspurger, Park, Garthwaite and Ahmad, "Efficient MRC Construction with SHARDS", FAST 2015; for policies other than LRU,
 * the same with Saemundsson, "Cache Modeling and Optimization using Miniature Simulations", USENIX ATC 2017.)
 *
 * A few very popular keys decide how many reads the sample has, but hardly how many misses: so misses are what is counted up, by the
 * ratio of all of the real cache's misses to those of keys in the sample (a ratio estimator; SHARDS-adj is its like).
 */
export class WhatIf {
  #now: Now
  #limits: () => Limits
  #usage: () => { items: number, bytes: number }
  /** The limits when they were last looked at: another object when they have changed. */
  #given!: Limits
  #size!: Size
  #rate = 1
  /** Hashes below it, as unsigned numbers, are in the sample. */
  #threshold = 2 ** 32
  #trials: MiniCache[] = []
  #ledger = new Ledger()
  #markers = 0
  #current = emptyWindow()
  #previous = emptyWindow()
  #namespace = ''
  #salt = hashKey('')

  /**
   * @param limits those in force
   * @param usage what the cache holds now, as far as it is known without asking anybody
   */
  constructor (now: Now, limits: () => Limits, usage: () => { items: number, bytes: number }) {
    this.#now = now
    this.#limits = limits
    this.#usage = usage
    this.#begin()
  }

  hit (entry: Observed): void {
    const window = this.#current
    window.reads++
    window.hits++
    const hash = this.#hash(entry.namespace, entry.key)
    if (hash >>> 0 < this.#threshold) this.#read(hash, factsOf(entry))
  }

  miss (namespace: string, key: string): void {
    this.#current.reads++
    const hash = this.#hash(namespace, key)
    if (hash >>> 0 < this.#threshold) this.#read(hash, undefined)
  }

  written (entry: Observed): void {
    const hash = this.#hash(entry.namespace, entry.key)
    if (hash >>> 0 >= this.#threshold) return
    const facts = factsOf(entry)
    const now = this.#now()
    for (const trial of this.#trials) trial.write(hash, facts, now)
  }

  touched (entry: Observed): void {
    const hash = this.#hash(entry.namespace, entry.key)
    if (hash >>> 0 < this.#threshold) for (const trial of this.#trials) trial.expire(hash, this.#now(), entry.expiresAt)
  }

  deleted (namespace: string, key: string): void {
    const hash = this.#hash(namespace, key)
    if (hash >>> 0 < this.#threshold) for (const trial of this.#trials) trial.delete(hash)
  }

  invalidated (namespace: string, what: Invalidation): void {
    this.#ledger.record(namespace, what)
    if (++this.#markers >= MARKERS) this.#forgetInvalidations()
  }

  /** Follows the limits. To be called every ten seconds or so. */
  turn (): void {
    this.#forgetInvalidations()
    this.#given = this.#limits()
    const { maxItems, maxMemory, strategy } = this.#given
    const expected = this.#fitting() * this.#rate
    const isOff = isLimited(this.#given) && (expected > ROOM || (this.#rate < 1 && expected < ROOM / 16))
    if (isOff || maxItems !== this.#size.maxItems || maxMemory !== this.#size.maxMemory || strategy !== this.#size.strategy) this.#begin()
  }

  tell (): WhatIfTold {
    this.turn()
    const [a, b] = [this.#previous, this.#current]
    const { maxItems, maxMemory, strategy } = this.#size
    return {
      strategy,
      maxItems: finite(maxItems),
      maxMemory: finite(maxMemory),
      rate: this.#rate,
      sampledKeys: Math.max(0, ...this.#trials.map(({ items }) => items)),
      reads: a.reads + b.reads,
      hits: a.hits + b.hits,
      sampledReads: a.sampledReads + b.sampledReads,
      sampledHits: a.sampledHits + b.sampledHits,
      trialHits: a.trialHits.map((hits, at) => hits + (b.trialHits[at] as number))
    }
  }

  /** Of this process. Undefined until enough was read since the start, or since the limits changed. */
  report (): WhatIfReport | undefined { return whatIfOf([this.tell()]) }

  #read (hash: number, found: Facts | undefined): void {
    if (this.#limits() !== this.#given) this.turn()
    const window = this.#current
    window.sampledReads++
    if (found !== undefined) window.sampledHits++
    const now = this.#now()
    const trials = this.#trials
    for (let at = 0; at < trials.length; at++) if ((trials[at] as MiniCache).read(hash, found, now)) window.trialHits[at]!++
    if (window.sampledReads >= WINDOW) {
      this.#previous = window
      this.#current = emptyWindow()
    }
  }

  #hash (namespace: string, key: string): number {
    if (namespace !== this.#namespace) {
      this.#namespace = namespace
      this.#salt = hashKey(namespace)
    }
    return hashKey(key, this.#salt)
  }

  /** How many entries the cache has room for, by both limits. */
  #fitting (): number {
    const { maxItems, maxMemory } = this.#limits()
    const { items, bytes } = this.#usage()
    return Math.min(maxItems, Math.max(1, maxMemory / (items < 100 ? USUAL_SIZE : bytes / items)))
  }

  #begin (): void {
    this.#given = this.#limits()
    const { maxItems, maxMemory, strategy } = this.#given
    this.#size = { maxItems, maxMemory, strategy }
    // Without limits there are no other sizes.
    const rate = isLimited(this.#given) ? Math.min(1, SAMPLE / this.#fitting()) : 0
    this.#rate = rate
    this.#threshold = rate * 2 ** 32
    this.#ledger = new Ledger()
    this.#markers = 0
    this.#current = emptyWindow()
    this.#previous = emptyWindow()
    this.#trials = rate === 0
      ? []
      : SIZE_FACTORS.map((factor) => new MiniCache({
        policy: new policies[policyOf(strategy)](),
        maxItems: Math.min(maxItems * rate, ROOM) * factor,
        maxBytes: maxMemory * rate * factor,
        ledger: this.#ledger
      }))
  }

  #forgetInvalidations (): void {
    if (this.#markers === 0) return
    this.#markers = 0
    for (const trial of this.#trials) trial.sweep()
    this.#ledger.retire(this.#ledger.revision, Infinity, () => false)
  }
}

const finite = (limit: number): number | null => Number.isFinite(limit) ? limit : null

/**
 * The hit ratio at other sizes, of the reads that all of these have seen. Each follows its own part of them, as though that were all: for reads that do not depend
 * on each other this is what one that saw all of them would find, as each part has the same popular keys.
 * @param told those of which the size is not that of the first are left out: they have yet to hear of a change
 */
export function whatIfOf (told: readonly WhatIfTold[]): WhatIfReport | undefined {
  const [first] = told
  if (first === undefined) return undefined
  const { strategy, maxItems, maxMemory } = first
  const alike = told.filter((each) => each.strategy === strategy && each.maxItems === maxItems && each.maxMemory === maxMemory)
  const sum = (of: (each: WhatIfTold) => number): number => alike.reduce((total, each) => total + of(each), 0)
  const sampledReads = sum((each) => each.sampledReads)
  if (sampledReads < ENOUGH) return undefined
  const reads = sum((each) => each.reads)
  const misses = reads - sum((each) => each.hits)
  const sampledMisses = sampledReads - sum((each) => each.sampledHits)
  const rate = sum((each) => each.rate * each.reads) / reads
  // How many misses one of the sample stands for.
  const weight = sampledMisses < ENOUGH_MISSES ? 1 / rate : misses / sampledMisses
  return {
    strategy,
    actualHitRate: 100 * (1 - misses / reads),
    reads,
    sampledReads,
    sampledKeys: Math.max(...alike.map(({ sampledKeys }) => sampledKeys)),
    samplingRate: rate,
    points: SIZE_FACTORS.map((factor, at) => ({
      factor,
      maxItems: Math.max(1, Math.round((maxItems ?? Infinity) * factor)),
      maxMemory: Math.max(1, Math.round((maxMemory ?? Infinity) * factor)),
      hitRate: percent(1 - (sampledReads - sum(({ trialHits }) => trialHits[at] as number)) * weight / reads)
    }))
  }
}

/** Of a part of one, without what is only rounding. */
const percent = (part: number): number => Math.max(0, Math.round(part * 1e6) / 1e4)

function factsOf ({ namespace, key, value, tags, metadata, createdAt, expiresAt }: Observed): Facts {
  return { namespace, key, tags, size: sizeOf(key, value, tags, metadata), lifetime: expiresAt - createdAt }
}
