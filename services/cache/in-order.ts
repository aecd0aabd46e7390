import { type Caller, throwIfGone } from './caller.js'

/** Items that are worked on at once: more than any backend takes at once, and enough for a journal to write many with one flush. */
const AT_ONCE = 256

/**
 * Works through items, some at once, each begun after those before it. Once one fails no more are begun, and those that were are waited for.
 * @throws what the work throws, and the signal's reason where the caller leaves before the last is begun
 */
export async function inOrder<T> (items: readonly T[], work: (item: T, at: number) => Promise<void>, caller?: Caller): Promise<void> {
  let next = 0
  let failed: { error: unknown } | undefined
  const lane = async (): Promise<void> => {
    while (next < items.length) {
      const at = next++
      try {
        // The first ones have not waited for anything.
        if (at >= AT_ONCE) throwIfGone(caller)
        await work(items[at] as T, at)
      } catch (error) {
        next = items.length
        failed ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, lane))
  if (failed !== undefined) throw failed.error
}
