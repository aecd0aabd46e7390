/** Passes over everything, one at a time, each for all who asked before it began. */
export class Passes {
  #run: () => Promise<void>
  #pass: Promise<void> | undefined
  #next: Promise<void> | undefined

  /** @param run makes one pass */
  constructor (run: () => Promise<void>) { this.#run = run }

  /** Settles when a pass is through that began after the call. */
  async ask (): Promise<void> {
    if (this.#pass === undefined) {
      this.#pass = this.#run().finally(() => { this.#pass = undefined })
      return await this.#pass
    }
    // The pass under way may have missed what came after its start: one more, shared by all who ask meanwhile.
    this.#next ??= this.#pass.then(async () => {
      this.#next = undefined
      await this.ask()
    })
    await this.#next
  }
}
