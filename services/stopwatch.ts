import type { Source } from '../schemas/cache-aside.js'

/** Tells where an answer came from and how many seconds it took so far, as members and as the JSON text of them. */
export function stopwatch () {
  const start = performance.now()
  const seconds = () => (performance.now() - start) / 1000
  return {
    members: (source: Source) => ({ source, response_time: Number(seconds().toFixed(6)) }),
    text: (fromCache: boolean) => ({ after: `"source":"${fromCache ? 'cache' : 'database'}","response_time":${seconds().toFixed(6)}` })
  }
}
