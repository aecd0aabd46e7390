/**
 * Hits of the best that can be done by one who knows the future: what is needed last goes, and that may be what was just asked
 * for. (Belady, "A study of replacement algorithms for a virtual-storage computer", 1966.)
 */
export function belady (trace, capacity) {
  const never = trace.length
  const next = new Int32Array(trace.length)
  const seen = new Map()
  for (let at = trace.length - 1; at >= 0; at--) {
    next[at] = seen.get(trace[at]) ?? never
    seen.set(trace[at], at)
  }
  const neededAt = new Map()
  const heap = new Heap()
  let hits = 0
  for (let at = 0; at < trace.length; at++) {
    const key = trace[at]
    if (neededAt.has(key)) hits++
    neededAt.set(key, next[at])
    heap.push(next[at], key)
    while (neededAt.size > capacity) {
      const [time, last] = heap.pop()
      // Needed earlier, and so pushed anew, when the times differ.
      if (neededAt.get(last) === time) neededAt.delete(last)
    }
  }
  return hits
}

/** A binary heap, the greatest first. */
class Heap {
  #times = []
  #keys = []

  push (time, key) {
    let at = this.#times.length
    while (at > 0) {
      const up = (at - 1) >> 1
      if (this.#times[up] >= time) break
      this.#times[at] = this.#times[up]
      this.#keys[at] = this.#keys[up]
      at = up
    }
    this.#times[at] = time
    this.#keys[at] = key
  }

  pop () {
    const top = [this.#times[0], this.#keys[0]]
    const time = this.#times.pop()
    const key = this.#keys.pop()
    const length = this.#times.length
    if (length === 0) return top
    let at = 0
    for (;;) {
      let down = 2 * at + 1
      if (down >= length) break
      if (down + 1 < length && this.#times[down + 1] > this.#times[down]) down++
      if (this.#times[down] <= time) break
      this.#times[at] = this.#times[down]
      this.#keys[at] = this.#keys[down]
      at = down
    }
    this.#times[at] = time
    this.#keys[at] = key
    return top
  }
}
