import { setImmediate as nextTurn } from 'node:timers/promises'

/** How long a pass runs before it lets others have the event loop, in milliseconds: with a collection of garbage in between, four are not passed. */
const SLICE = 2
/** Steps between two looks at the clock. */
const STRIDE = 64

/**
 * Takes steps 0, 1, 2 … in slices of a few milliseconds, until there are no more or one answers false. The first slice is over
 * when this returns.
 */
export async function inSlices (steps: number, take: (step: number) => boolean | void): Promise<void> {
  let until = performance.now() + SLICE
  for (let step = 0; step < steps; step++) {
    if (take(step) === false) return
    if (step % STRIDE === STRIDE - 1 && performance.now() > until) {
      await nextTurn()
      until = performance.now() + SLICE
    }
  }
}

/** The numbers in order of what `rank` says of them, equal ones as they stood; a merge sort in slices. */
export async function sortedInSlices (numbers: Int32Array<ArrayBuffer>, rank: (number: number) => number): Promise<Int32Array> {
  const { length } = numbers
  let from = numbers
  let to = new Int32Array(length)
  for (let width = 1; width < length; width *= 2) {
    let left = 0
    let right = 0
    let middle = 0
    let end = 0
    await inSlices(length, (at) => {
      if (at % (2 * width) === 0) {
        left = at
        right = middle = Math.min(at + width, length)
        end = Math.min(at + 2 * width, length)
      }
      const takesLeft = left < middle && (right >= end || rank(from[left] as number) <= rank(from[right] as number))
      to[at] = from[takesLeft ? left++ : right++] as number
    })
    ;[from, to] = [to, from]
  }
  return from
}
