import type { Random } from '../random.js'

/** Draws ranks below `count`, distributed by Zipf's law. */
export function zipfian (count: number, exponent: number, random: Random): () => number {
  const cumulative = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank++) cumulative[rank] = sum += (rank + 1) ** -exponent
  return () => {
    const target = random.next() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle] as number < target) low = middle + 1
      else high = middle
    }
    return low
  }
}
