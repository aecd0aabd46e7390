import { setImmediate as nextTurn } from 'node:timers/promises'
import { capabilities } from '../backends/capabilities.js'
import type { BackendName } from '../backends/names.js'
import type { Cache } from '../cache.js'
import { Activity, type ActivityReport } from './activity.js'
import { compose, type Composition, type EntrySample } from './composition.js'
import type { HotKeysReport } from './hot-keys.js'
import type { Latencies, OperationReport } from './latencies.js'
import { drawSample, type Population } from './sampling.js'
import type { Sketches } from './sketches.js'
import { WhatIf, type WhatIfReport } from './what-if.js'

/** Between two looks at the counters, in milliseconds. */
const TURN = 10_000
/** Entries looked at. */
const SAMPLE = 4096
/** How long what was found is good, in milliseconds. */
const FRESH = 5000
/** Samples of single namespaces that are kept for that long. */
const KEPT = 4

export interface AnalyticsOptions {
  cache: Cache
  /** The cache's store. */
  store: Population
  /** What the cache was given as its observer. */
  sketches: Sketches
  /** Undefined where operations are not timed. */
  latencies?: Latencies | undefined
}

export interface AnalyticsReport {
  backend: BackendName
  namespace: string | undefined
  /** Milliseconds since the epoch. */
  since: number
  at: number
  hotKeys: HotKeysReport
  /** Undefined for a namespace that there was no room for: see Activity. */
  activity: ActivityReport | undefined
  composition: Composition & { at: number }
  /** Undefined where the backend has no limits of its own, for one namespace, and until enough was read. */
  whatIf: WhatIfReport | undefined
}

/**
 * What a cache is used for and how it does, as this process sees it: from sketches of bounded size that follow its accesses, from
 * counters that are there anyway, and from a sample of its entries that is drawn when somebody asks.
 */
export class Analytics {
  readonly cache: Cache
  readonly #store: Population
  readonly #sketches: Sketches
  readonly #latencies: Latencies | undefined
  readonly #activity: Activity
  readonly #since: number
  readonly #turning: NodeJS.Timeout
  readonly #samples = new Map<string | undefined, { at: number, sample: Promise<EntrySample> }>()

  constructor ({ cache, store, sketches, latencies }: AnalyticsOptions) {
    const now = (): number => cache.now
    this.cache = cache
    this.#store = store
    this.#sketches = sketches
    this.#latencies = latencies
    this.#since = cache.now
    this.#activity = new Activity(cache, now)
    if (capabilities[cache.backend].noLimits === undefined) sketches.whatIf = new WhatIf(now, () => cache.limits, () => cache.memoryUsage)
    this.#turning = setInterval(() => { this.#turn() }, TURN)
    this.#turning.unref()
  }

  /**
   * @param limit of hot keys and of prefixes
   * @param namespace leaves out whatever tells of another
   */
  async report (limit: number, namespace?: string): Promise<AnalyticsReport> {
    const { at, sample } = await this.#sample(namespace)
    const { cache } = this
    const composition = { ...await compose(sample, limit), at }
    // Each of these takes a millisecond or so: others get their turn in between.
    await nextTurn()
    const hotKeys = this.#sketches.hotKeys.report(limit, namespace)
    await nextTurn()
    const activity = this.#activity.report(namespace)
    await nextTurn()
    return {
      backend: cache.backend,
      namespace,
      since: this.#since,
      at: cache.now,
      hotKeys,
      activity,
      composition,
      whatIf: namespace === undefined ? this.#sketches.whatIf?.report() : undefined
    }
  }

  /** How long operations take, over all namespaces, and the seconds that the percentiles cover; undefined where that is not measured. */
  operations (): { window: number, operations: OperationReport[] } | undefined {
    return this.#latencies === undefined ? undefined : { window: this.#latencies.window, operations: this.#latencies.report() }
  }

  close (): void { clearInterval(this.#turning) }

  #turn (): void {
    this.#sketches.hotKeys.turn()
    this.#sketches.whatIf?.turn()
    this.#latencies?.turn()
    this.#activity.turn()
    for (const [namespace, { at }] of this.#samples) if (this.cache.now - at > FRESH) this.#samples.delete(namespace)
  }

  /** At most one drawing of a kind at a time, however many ask. */
  async #sample (namespace: string | undefined): Promise<{ at: number, sample: EntrySample }> {
    let drawn = this.#samples.get(namespace)
    if (drawn === undefined || this.cache.now - drawn.at > FRESH) {
      const sample = drawSample(this.#store, namespace, SAMPLE, this.cache.now)
      drawn = { at: this.cache.now, sample }
      this.#samples.delete(namespace)
      this.#samples.set(namespace, drawn)
      // Whoever waits for it is told of a failure; the next one tries again.
      sample.catch(() => { this.#samples.delete(namespace) })
      const [oldest] = this.#samples.keys()
      if (this.#samples.size > KEPT) this.#samples.delete(oldest)
    }
    return { at: drawn.at, sample: await drawn.sample }
  }
}
