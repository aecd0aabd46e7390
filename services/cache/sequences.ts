/** Lets what has the same name run one after the other, in the order in which it came. */
export class Sequences {
  #last = new Map<string, Promise<unknown>>()

  /** Whether something under the name runs or waits. */
  has (name: string): boolean { return this.#last.has(name) }

  /** @param isFatal whether those that wait fail with the one before them */
  async take<T> (name: string, work: () => Promise<T>, isFatal: (error: unknown) => boolean): Promise<T> {
    const goOn = async (error: unknown): Promise<T> => {
      if (isFatal(error)) throw error
      return await work()
    }
    const mine = this.#last.get(name)?.then(work, goOn) ?? work()
    this.#last.set(name, mine)
    try {
      return await mine
    } finally {
      if (this.#last.get(name) === mine) this.#last.delete(name)
    }
  }
}
