import type { LiveLatency } from '../../schemas/live.js'

/**
 * Percentiles of what was observed between two states of a histogram, interpolated in their bucket as Prometheus does
 * (`histogram_quantile`); past the last bound, that bound.
 * @param counts how many were not above each bound
 * @returns seconds; null when nothing was observed
 */
export function percentilesBetween (before: ReadonlyMap<number, number>, counts: ReadonlyMap<number, number>): LiveLatency | null {
  const buckets = [...counts].map(([bound, count]) => ({ bound, count: count - (before.get(bound) ?? 0) })).sort((a, b) => a.bound - b.bound)
  const total = buckets.at(-1)?.count ?? 0
  if (total <= 0) return null
  const at = (part: number): number => {
    const rank = part * total
    const index = buckets.findIndex(({ count }) => count >= rank)
    const { bound, count } = buckets[index]!
    const lower = buckets[index - 1] ?? { bound: 0, count: 0 }
    if (bound === Infinity) return lower.bound
    return lower.bound + (bound - lower.bound) * (rank - lower.count) / (count - lower.count)
  }
  return { p50: rounded(at(0.5)), p95: rounded(at(0.95)), p99: rounded(at(0.99)) }
}

/** To four digits: there is no more in it. */
export const rounded = (value: number): number => Number(value.toPrecision(4))
