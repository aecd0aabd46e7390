import { setImmediate as nextTurn } from 'node:timers/promises'
import { capabilities } from '../backends/capabilities.js'
import type { BackendName } from '../backends/names.js'
import type { Cache } from '../cache.js'
import { Activity, type ActivityReport } from './activity.js'
import { compose, type Composition, type EntrySample } from './composition.js'
import { hotKeysOf, type HotKeysReport, type HotKeysTold } from './hot-keys.js'
import type { Latencies, LatenciesTold } from './latencies.js'
import { drawSample, type Population } from './sampling.js'
import type { Sketches } from './sketches.js'
import { WhatIf, whatIfOf, type WhatIfReport, type WhatIfTold } from './what-if.js'

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

/** What the sketches of one process hold, for whoever puts several together. */
export interface SketchesTold {
  hotKeys: HotKeysTold
  /** Undefined where the backend has no limits of its own, and for one namespace. */
  whatIf?: WhatIfTold | undefined
}

/** What all processes know together that serve together. */
export interface ToldTogether {
  sketches: readonly SketchesTold[]
  activity: ActivityReport | undefined
  /** Milliseconds since the epoch. */
  since: number
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
   * @param together what is told in place of what this process alone has seen
   */
  async report (limit: number, namespace?: string, together?: ToldTogether): Promise<AnalyticsReport> {
    const { at, sample } = await this.#sample(namespace)
    const { cache } = this
    const composition = { ...await compose(sample, limit), at }
    // Each of these takes a millisecond or so: others get their turn in between.
    await nextTurn()
    const sketches = together?.sketches ?? [this.tell(namespace)]
    await nextTurn()
    const hotKeys = hotKeysOf(sketches.map((each) => each.hotKeys), limit, namespace)
    await nextTurn()
    const activity = together === undefined ? this.#activity.report(namespace) : together.activity
    await nextTurn()
    return {
      backend: cache.backend,
      namespace,
      since: together?.since ?? this.#since,
      at: cache.now,
      hotKeys,
      activity,
      composition,
      whatIf: whatIfOf(sketches.flatMap(({ whatIf }) => whatIf ?? []))
    }
  }

  /** What this process has seen. @param namespace leaves out whatever tells of another */
  tell (namespace?: string): SketchesTold {
    const { hotKeys, whatIf } = this.#sketches
    return { hotKeys: hotKeys.tell(namespace), whatIf: namespace === undefined ? whatIf?.tell() : undefined }
  }

  /** How long operations take here, over all namespaces; undefined where that is not measured. */
  latencies (): LatenciesTold | undefined { return this.#latencies?.tell() }

  /** How often each operation was done and failed here, since the start. */
  operationCounts (): Iterable<[operation: string, counts: { count: number, errors: number }]> { return this.#latencies?.counts() ?? [] }

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
