import type { Cache, CacheStatistics } from '../cache/cache.js'
import { breakerLevel } from '../cache/resilience.js'
import type { ResponseCounts } from '../response-cache/counts.js'
import type { Row, RowName } from './rows.js'
import type { Others } from './subordinate.js'
import { Tally } from './tally.js'

export interface TogetherOptions {
  /** By their names in the metrics. */
  caches: ReadonlyMap<string, Cache>
  responses: ResponseCounts
  /** Undefined: this process serves alone. */
  others: Pick<Others, 'ask'> | undefined
}

export interface ResponseStatistics { hits: number, misses: number, top: [key: string, requests: number][] }

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
  readonly #others: TogetherOptions['others']

  constructor ({ caches, responses, others }: TogetherOptions) {
    this.#names = new Map([...caches].map(([name, cache]) => [cache, name]))
    this.#responses = responses
    this.#others = others
    for (const [name, cache] of caches) {
      const ofCache = { names: () => ['', ...cache.namespaces()], row: (namespace: string): Row => ({ ...cache.counters(namespace === '' ? undefined : namespace) }) }
      this.tally.add(groupOf(name), () => ofCache)
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
  async statistics (cache: Cache, namespaces: readonly string[] | undefined): Promise<{ statistics: CacheStatistics, breaker: number | undefined }> {
    const group = groupOf(this.#nameOf(cache))
    const rows: RowName[] = (namespaces ?? ['']).map((namespace) => [group, namespace])
    const [statistics, answer] = await Promise.all([ownStatistics(cache, namespaces), this.#others?.ask({ rows: [...rows, [BREAKERS, this.#nameOf(cache)]] })])
    if (answer === undefined) return { statistics, breaker: levelOf(cache)?.['level'] }
    const counted = sumOf(answer.rows.slice(0, -1))
    for (const name of Object.keys(cache.counters(rows[0]?.[1])) as (keyof CacheStatistics)[]) statistics[name] = counted[name] ?? 0
    return { statistics, breaker: answer.rows.at(-1)?.['level'] ?? levelOf(cache)?.['level'] }
  }

  /** What this process has to say when another one asks. */
  async tell (about: unknown): Promise<unknown> { return about }

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

async function ownStatistics (cache: Cache, namespaces: readonly string[] | undefined): Promise<CacheStatistics> {
  if (namespaces === undefined) return await cache.statistics()
  const each: CacheStatistics[] = []
  for (const namespace of namespaces) each.push(await cache.statistics(namespace))
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
