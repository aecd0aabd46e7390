import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes that are still referred to, in the heap and outside of it. What is only garbage does not count. */
export async function heldMemory (): Promise<number> {
  // What a collection frees outside the heap is counted a little later.
  for (let round = 0; round < 3; round++) {
    collectGarbage()
    await new Promise((resolve) => { setImmediate(resolve) })
  }
  const { heapUsed, external } = process.memoryUsage()
  return heapUsed + external
}
