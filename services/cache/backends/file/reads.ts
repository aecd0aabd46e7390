/** Reads of the store that run at once: more would only wait for the same threads. */
const AT_ONCE = 2

type Found = Buffer | 'damaged' | undefined
interface Waiting { keys: Buffer[], resolve: (found: Found[]) => void, reject: (error: unknown) => void }

/** Gathers reads that come while others are under way into one: a hundred at once cost little more than one. */
export class GatheredReads {
  #read: (keys: Buffer[]) => Promise<Found[]>
  #waiting: Waiting[] = []
  #running = 0

  constructor (read: (keys: Buffer[]) => Promise<Found[]>) { this.#read = read }

  async read (keys: Buffer[]): Promise<Found[]> {
    return await new Promise<Found[]>((resolve, reject) => {
      this.#waiting.push({ keys, resolve, reject })
      if (this.#running < AT_ONCE) void this.#run()
    })
  }

  async #run (): Promise<void> {
    this.#running++
    // What is asked for in the same turn belongs together.
    await Promise.resolve()
    while (this.#waiting.length > 0) {
      const waiting = this.#waiting
      this.#waiting = []
      try {
        const found = await this.#read(waiting.flatMap(({ keys }) => keys))
        let at = 0
        for (const { keys, resolve } of waiting) {
          resolve(found.slice(at, at + keys.length))
          at += keys.length
        }
      } catch (error) {
        for (const { reject } of waiting) reject(error)
      }
    }
    this.#running--
  }
}
