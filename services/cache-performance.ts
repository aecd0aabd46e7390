import type { CachePerformance } from '../schemas/cache-aside.js'

const ROUNDS = 9

/** Measures two ways to the same answer in turn, and compares their medians. Whatever else the process does hits both alike. */
export async function comparePerformance (fromCache: () => Promise<unknown>, fromDatabase: () => Promise<unknown>): Promise<CachePerformance> {
  // The first time pays for what later ones find ready.
  await fromCache()
  await fromDatabase()
  const cached: number[] = []
  const database: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    database.push(await secondsOf(fromDatabase))
    cached.push(await secondsOf(fromCache))
  }
  const [slow, fast] = [median(database), median(cached)]
  return {
    cached_response_time: fast,
    database_response_time: slow,
    performance_improvement: `${(slow === 0 ? 0 : (slow - fast) / slow * 100).toFixed(2)}%`,
    rounds: ROUNDS
  }
}

async function secondsOf (work: () => Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work()
  return Number(((performance.now() - start) / 1000).toFixed(7))
}

const median = (values: number[]): number => values.sort((a, b) => a - b)[values.length >> 1] ?? 0
