import { performance } from 'node:perf_hooks'

/** Whole milliseconds since the epoch, never going backwards. Everything in the cache that compares times takes one of these. */
export type Now = () => number

/**
 * A clock for one process: it starts at the wall clock and advances with the monotonic one, so that a step of the system's
 * time expires nothing and revives nothing. It is read once per turn of the event loop (a reading costs more than a lookup);
 * within one turn time stands still.
 */
export function monotonicNow (): Now {
  const origin = Date.now() - performance.now()
  let current = 0
  const expire = (): void => { current = 0 }
  return () => {
    if (current === 0) {
      current = Math.floor(origin + performance.now())
      setImmediate(expire)
    }
    return current
  }
}
