import type { Analytics, AnalyticsReport, SketchesTold } from '../cache/analytics/analytics.js'
import { type LatenciesTold, operationsOf, type OperationReport } from '../cache/analytics/latencies.js'
import type { BackendName } from '../cache/backends/names.js'
import type { Cache, CacheStatistics } from '../cache/cache.js'
import { type BreakerChange, type Breakers, type BreakerStatus, worstOf } from '../breakers.js'
import { breakerLevel } from '../cache/breaker.js'
import type { Caller } from '../cache/caller.js'
import type { ResponseCounts } from '../response-cache/counts.js'
import type { Row, RowName } from './rows.js'
import { type Others, TotalsUnavailableError } from './subordinate.js'
import { Tally } from './tally.js'

export interface TogetherOptions {
  /** By their names in the metrics. */
  caches: ReadonlyMap<string, Cache>
  responses: ResponseCounts
  analytics: ReadonlyMap<BackendName, Analytics>
  breakers: Breakers
  /** Undefined: this process serves alone. */
  others: Pick<Others, 'ask'> | undefined
}

export interface ResponseStatistics { hits: number, misses: number, top: [key: string, requests: number][] }

/** How the operations of a backend do. */
export interface BackendOperations { backend: BackendName, window: number, operations: OperationReport[] }

/** What one process asks the others for: what its sketches hold, and how long the operations of these take. */
interface AnalyticsAsked { backend: BackendName, namespace?: string | undefined, timed: BackendName[] }
/** What one process has the others do, and tell. */
interface BreakersAsked { breakers: BreakerChange | null }
interface AnalyticsTold { sketches: SketchesTold, timed: [backend: BackendName, latencies: LatenciesTold][] }

const BREAKERS = 'highest:breakers'
const RESPONSES = 'sum:responses'
const REQUESTED = 'most:responses'

/**
 * What is counted by namespace or by key, of all processes that serve together as though they were one: whoever of them is asked answers the same. What
 * they share (entries, bytes) is asked for once.
 */
export class Together {
  /** What this one tells the others. */
  readonly tally = new Tally()
  readonly #names: ReadonlyMap<Cache, string>
  readonly #responses: ResponseCounts
  readonly #analytics: TogetherOptions['analytics']
  readonly #breakers: Breakers
  readonly #others: TogetherOptions['others']

  constructor ({ caches, responses, analytics, breakers, others }: TogetherOptions) {
    this.#names = new Map([...caches].map(([name, cache]) => [cache, name]))
    this.#responses = responses
    this.#analytics = analytics
    this.#breakers = breakers
    this.#others = others
    for (const [name, cache] of caches) {
      const ofCache = { names: () => ['', ...cache.namespaces()], row: (namespace: string): Row => ({ ...cache.counters(namespace === '' ? undefined : namespace) }) }
      this.tally.add(groupOf(name), () => ofCache)
    }
    for (const [backend, each] of analytics) {
      this.tally.add(operationsGroup(backend), () => {
        const rows = new Map(each.operationCounts())
        return { names: () => rows.keys(), row: (name) => rows.get(name) }
      })
    }
    const levels = { names: () => caches.keys(), row: (name: string) => levelOf(caches.get(name)) }
    this.tally.add(BREAKERS, () => levels)
    const counted = { names: () => [''], row: () => ({ hits: responses.hits, misses: responses.misses }) }
    this.tally.add(RESPONSES, () => counted)
    this.tally.add(REQUESTED, () => {
      const rows = new Map(responses.requested().map(({ name, count, error }) => [name, { count, error }]))
      return { names: () => rows.keys(), row: (name) => rows.get(name) }
    })
  }

  /**
   * Of these namespaces together, or of all.
   * @returns with the state of the server's breaker where there is one: 0 while it answers, 2 while it is left alone
   */
  async statistics (cache: Cache, namespaces: readonly string[] | undefined, caller?: Caller): Promise<{ statistics: CacheStatistics, breaker: number | undefined }> {
    const group = groupOf(this.#nameOf(cache))
    const rows: RowName[] = (namespaces ?? ['']).map((namespace) => [group, namespace])
    const [statistics, answer] = await Promise.all([ownStatistics(cache, namespaces, caller), this.#others?.ask({ rows: [...rows, [BREAKERS, this.#nameOf(cache)]] })])
    if (answer === undefined) return { statistics, breaker: levelOf(cache)?.['level'] }
    const counted = sumOf(answer.rows.slice(0, -1))
    for (const name of Object.keys(cache.counters(rows[0]?.[1])) as (keyof CacheStatistics)[]) statistics[name] = counted[name] ?? 0
    return { statistics, breaker: answer.rows.at(-1)?.['level'] ?? levelOf(cache)?.['level'] }
  }

  /**
   * What a backend is used for, and how the operations of these do that are timed. What is in it is drawn once, as all share it.
   * @param limit of hot keys and of prefixes
   * @param namespace leaves out whatever tells of another
   */
  async analytics (observed: Analytics, limit: number, namespace: string | undefined, timed: readonly Analytics[]): Promise<{ report: AnalyticsReport, timed: BackendOperations[] }> {
    const { backend } = observed.cache
    const backends = timed.map((each) => each.cache.backend)
    if (this.#others === undefined) return { report: await observed.report(limit, namespace), timed: operationsIn([timesOf(timed)]) }
    const asked: AnalyticsAsked = { backend, namespace, timed: backends }
    const answer = await this.#others.ask({ activity: { group: groupOf(this.#nameOf(observed.cache)), namespace }, groups: backends.map(operationsGroup), each: asked })
    const told = answer.each as AnalyticsTold[]
    if (told.length === 0) throw Object.assign(new TotalsUnavailableError(), { retryAfter: 1 })
    const report = await observed.report(limit, namespace, { sketches: told.map(({ sketches }) => sketches), activity: answer.activity, since: answer.since })
    const since = new Map(backends.map((name, at) => [name, new Map(answer.groups[at])]))
    return {
      report,
      // What those had counted that have ended stays, as in all sums; how long it took is told of those that live.
      timed: operationsIn(told.map((each) => each.timed)).map((each) => ({ ...each, operations: withCounts(each.operations, since.get(each.backend) ?? new Map<string, Row>()) }))
    }
  }

  /**
   * How the breakers do: of several processes the one that is worst.
   * @param change made first in every process that serves. One that begins later knows nothing of it.
   */
  async breakers (change?: BreakerChange): Promise<BreakerStatus[]> {
    const asked: BreakersAsked = { breakers: change ?? null }
    if (this.#others === undefined) return await this.tell(asked) as BreakerStatus[]
    const { each } = await this.#others.ask({ each: asked })
    if (each.length === 0) throw Object.assign(new TotalsUnavailableError(), { retryAfter: 1 })
    return worstOf(each as BreakerStatus[][])
  }

  /** What this process has to say when another one asks. */
  async tell (about: unknown): Promise<unknown> {
    if ('breakers' in (about as AnalyticsAsked | BreakersAsked)) {
      const { breakers: change } = about as BreakersAsked
      if (change !== null) this.#breakers.change(change)
      return this.#breakers.list()
    }
    const { backend, namespace, timed } = about as AnalyticsAsked
    const observed = this.#analytics.get(backend)
    if (observed === undefined) throw new Error(`There is no backend ${backend} here.`)
    const told: AnalyticsTold = { sketches: observed.tell(namespace), timed: timesOf(timed.flatMap((name) => this.#analytics.get(name) ?? [])) }
    return told
  }

  /** @param limit of keys, those that were asked for most */
  async responses (limit: number): Promise<ResponseStatistics> {
    if (this.#others === undefined) {
      const { hits, misses } = this.#responses
      return { hits, misses, top: this.#responses.top(limit) }
    }
    const { rows: [{ hits = 0, misses = 0 } = {}], most } = await this.#others.ask({ rows: [[RESPONSES, '']], most: { group: REQUESTED, limit } })
    return { hits, misses, top: most }
  }

  #nameOf (cache: Cache): string {
    const name = this.#names.get(cache)
    if (name === undefined) throw new Error('This cache is not counted: name it where Together is made.')
    return name
  }
}

const groupOf = (name: string): string => `sum:cache/${name}`
const operationsGroup = (backend: string): string => `sum:operations/${backend}`

function timesOf (timed: readonly Analytics[]): AnalyticsTold['timed'] {
  return timed.flatMap((each) => {
    const latencies = each.latencies()
    return latencies === undefined ? [] : [[each.cache.backend, latencies] as const]
  })
}

function operationsIn (told: readonly AnalyticsTold['timed'][]): BackendOperations[] {
  const byBackend = new Map<BackendName, LatenciesTold[]>()
  for (const [backend, latencies] of told.flat()) byBackend.set(backend, [...byBackend.get(backend) ?? [], latencies])
  return [...byBackend].map(([backend, each]) => ({ backend, window: Math.max(...each.map(({ window }) => window)), operations: operationsOf(each) }))
}

function withCounts (operations: readonly OperationReport[], counted: ReadonlyMap<string, Row>): OperationReport[] {
  const found = operations.map((each) => ({ ...each, ...counted.get(each.operation) }))
  const others = [...counted].filter(([operation]) => operations.every((each) => each.operation !== operation))
  return [...found, ...others.map(([operation, { count = 0, errors = 0 }]) => ({ operation, count, errors, recent: 0, percentiles: undefined }))]
}

async function ownStatistics (cache: Cache, namespaces: readonly string[] | undefined, caller: Caller | undefined): Promise<CacheStatistics> {
  if (namespaces === undefined) return await cache.statistics(undefined, caller)
  const each: CacheStatistics[] = []
  for (const namespace of namespaces) each.push(await cache.statistics(namespace, caller))
  return sumOf(each)
}

function levelOf (cache: Cache | undefined): Row | undefined {
  return cache?.breaker === undefined ? undefined : { level: breakerLevel(cache.breaker) }
}

function sumOf<R extends object> (rows: readonly R[]): R {
  const sum: Record<string, number> = {}
  for (const row of rows) for (const [name, value] of Object.entries(row)) sum[name] = (sum[name] ?? 0) + (value as number)
  return sum as R
}
