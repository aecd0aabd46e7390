import { UnsupportedOperationError } from './errors.js'
import type { Limits, Quota } from './limits.js'

/** What quotas take of the limits, all together. */
export function reservedBy (quotas: ReadonlyMap<string, Quota> = new Map()): Quota {
  const sum = { maxItems: 0, maxMemory: 0 }
  for (const { maxItems, maxMemory } of quotas.values()) {
    sum.maxItems += maxItems
    sum.maxMemory += maxMemory
  }
  return sum
}

/** What is left for the namespaces without a quota, together. */
export function unreserved ({ maxItems, maxMemory, quotas }: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>): Quota {
  const reserved = reservedBy(quotas)
  return { maxItems: maxItems - reserved.maxItems, maxMemory: maxMemory - reserved.maxMemory }
}

/** Whether the quotas are, together, no more than there is. */
export function doFit (limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>): boolean {
  const left = unreserved(limits)
  return left.maxItems >= 0 && left.maxMemory >= 0
}

/** @throws UnsupportedOperationError for quotas that are more, together, than there is */
export function checkQuotas (limits: Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>): void {
  const reserved = reservedBy(limits.quotas)
  for (const [name, sum, limit] of [['max_items', reserved.maxItems, limits.maxItems], ['max_memory', reserved.maxMemory, limits.maxMemory]] as const) {
    if (sum > limit) {
      throw new UnsupportedOperationError(
        `The quotas of all namespaces come to ${sum} for ${name}, more than the ${limit} of the backend: raise that, or lower a quota.`)
    }
  }
}
