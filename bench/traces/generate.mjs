// Access traces: the numbers of the keys that are asked for, in order. The same name and length give the same trace every time.
import { zipf } from '../zipf.mjs'
import { generator } from './random.mjs'

/** Every trace by its name: how it is made of a length and a source of random numbers. */
const makers = {
  'zipf 0.7': (length, random) => fill(length, zipf(20_000, 0.7, random)),
  'zipf 0.99': (length, random) => fill(length, zipf(20_000, 0.99, random)),
  'zipf 1.2': (length, random) => fill(length, zipf(20_000, 1.2, random)),
  /** Popular keys, and now and then a run over a thousand that come never again. */
  scans: (length, random) => {
    const popular = zipf(10_000, 0.9, random)
    let fresh = 1_000_000
    let left = 0
    return fill(length, () => {
      if (left === 0 && random() < 1 / 2000) left = 1000
      if (left === 0) return popular()
      left--
      return fresh++
    })
  },
  /** Round and round over more keys than fit. */
  loop: (length) => fill(length, (at) => at % 5000),
  /** Most accesses go to a few hundred keys, which are others after a while. */
  shifting: (length, random) => fill(length, (at) => {
    const epoch = Math.floor(at / 5000)
    return random() < 0.9 ? 100_000 + epoch * 400 + Math.floor(400 * random() ** 1.5) : Math.floor(20_000 * random())
  }),
  /** Keys are asked for a few times soon after they are new, and then never again. */
  news: (length, random) => {
    let newest = 1000
    return fill(length, () => {
      if (random() < 0.25) return ++newest
      return Math.max(0, newest - Math.floor(-Math.log(1 - random()) * 400))
    })
  },
  /** One after the other, twice each. */
  mixture: (length, random) => {
    const names = ['zipf 0.99', 'loop', 'shifting', 'scans', 'news']
    const part = Math.ceil(length / names.length / 2)
    const parts = [...names, ...names].map((name) => makers[name](part, random))
    const trace = new Int32Array(length)
    for (const [at, keys] of parts.entries()) trace.set(keys.subarray(0, Math.max(0, Math.min(part, length - at * part))), at * part)
    return trace
  }
}

export const TRACES = Object.keys(makers)

export function trace (name, length, seed = 1) { return makers[name](length, generator(seed)) }

function fill (length, next) {
  const keys = new Int32Array(length)
  for (let at = 0; at < length; at++) keys[at] = next(at)
  return keys
}
