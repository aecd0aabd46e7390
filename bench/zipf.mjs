/** Ranks below `count`, distributed by Zipf's law; the same ones every time. */
export function zipf (count, exponent, length) {
  const cumulative = new Float64Array(count)
  let sum = 0
  for (let rank = 0; rank < count; rank++) cumulative[rank] = sum += (rank + 1) ** -exponent
  const random = generator(1)
  return Array.from({ length }, () => {
    const target = random() * sum
    let low = 0
    let high = count - 1
    while (low < high) {
      const middle = (low + high) >> 1
      if (cumulative[middle] < target) low = middle + 1
      else high = middle
    }
    return low
  })
}

/** Mulberry32: numbers from 0 to 1 that look random and repeat from the same seed. */
function generator (seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0
    let mixed = Math.imul(seed ^ (seed >>> 15), seed | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}
