import type { CacheSetReply } from '../../schemas/cache.js'
import type { CacheEntryFailure, CacheSetBatchReply } from '../../schemas/cache-batches.js'
import { PROBLEMS, type ProblemSlug } from '../../schemas/problems.js'
import { BackendUnavailableError } from '../../services/cache/errors.js'
import { invalidField } from '../../services/errors.js'
import { keyFault } from '../../services/names.js'

/** The key of an entry as a caller gave it, whatever that is; null when it is no string. */
export function keyIn (entry: unknown): string | null {
  const key = typeof entry === 'object' && entry !== null ? (entry as { key?: unknown }).key : undefined
  return typeof key === 'string' ? key : null
}

/**
 * Sets the keys that cannot be keys, or that `check` throws for, aside, each with its place in the body and its failure.
 * @returns the valid ones in their order
 */
export function sortKeys (
  body: readonly unknown[], maxKeyLength: number, check?: (key: string) => void
): { valid: string[], faults: Map<number, CacheEntryFailure> } {
  const valid: string[] = []
  const faults = new Map<number, CacheEntryFailure>()
  for (const [index, key] of body.entries()) {
    const fault = typeof key === 'string' ? keyFault(key, maxKeyLength) : 'must be a string.'
    try {
      if (fault !== undefined) throw invalidField('key', fault)
      check?.(key as string)
      valid.push(key as string)
    } catch (error) {
      faults.set(index, failure(typeof key === 'string' ? key : null, error))
    }
  }
  return { valid, faults }
}

/**
 * What became of each entry. A backend that is down fails the whole request when nothing at all was stored, so that it is tried
 * again.
 */
export function setBatchReply (
  keys: readonly (string | null)[], settled: readonly PromiseSettledResult<CacheSetReply>[]
): CacheSetBatchReply {
  const results = settled.map((outcome, index) => outcome.status === 'fulfilled'
    ? { key: outcome.value.key, success: true as const, result: outcome.value }
    : failure(keys[index] ?? null, outcome.reason))
  const successful = results.filter(({ success }) => success).length
  if (successful === 0) {
    const down = settled.find((outcome) => outcome.status === 'rejected' && outcome.reason instanceof BackendUnavailableError)
    if (down?.status === 'rejected') throw down.reason
  }
  return {
    success: true,
    message: `${successful} of ${results.length} entries stored`,
    total_items: results.length,
    successful_count: successful,
    failed_count: results.length - successful,
    results
  }
}

/** An error of ours as the outcome of one entry; any other is a bug and fails the whole request. */
function failure (key: string | null, error: unknown): CacheEntryFailure {
  const { code, statusCode, message } = error as { code?: string, statusCode?: number, message: string }
  if (statusCode === undefined || code?.startsWith('ERR_') !== true) throw error
  const slug = code.slice('ERR_'.length).toLowerCase().replaceAll('_', '-')
  const title = PROBLEMS[slug as ProblemSlug]?.[1] ?? slug
  return { key, success: false, error: { type: `/problems/${slug}`, title, status: statusCode, detail: message } }
}
