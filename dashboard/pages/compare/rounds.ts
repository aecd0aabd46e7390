import { duration, percent, number } from '../../format.js'

/** One round of the performance test, in seconds: the service itself measures each several times, and answers medians. */
export interface Round {
  readonly database: number
  readonly cache: number
}

export interface Comparison extends Round {
  /** How much of the database's time the cache saves, in per cent; below 0 where it takes longer. */
  readonly improvement: number
}

/** The medians of the rounds. @param rounds at least one */
export function compared (rounds: readonly Round[]): Comparison {
  const database = median(rounds.map(({ database }) => database))
  const cache = median(rounds.map(({ cache }) => cache))
  return { database, cache, improvement: database === 0 ? 0 : (database - cache) / database * 100 }
}

/** What came out of it, in words. */
export function verdict (rounds: readonly Round[]): string {
  const { database, cache, improvement } = compared(rounds)
  const times = `${rounds.length === 1 ? 'In one round' : `Over ${rounds.length} rounds, by their medians,`} the database took ${duration(database)} and the cache ${duration(cache)}`
  return `${times}: ${difference({ database, cache, improvement })}.`
}

/** `96.1 % less time, 25.5 times as fast` */
export function difference ({ database, cache, improvement }: Comparison): string {
  if (improvement < 0) return `the cache took ${percent(-improvement)} longer`
  if (cache === 0 || improvement < 1) return `${percent(improvement)} less time`
  return `${percent(improvement)} less time, ${number(database / cache)} times as fast`
}

function median (values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2
}
