export interface LoopOptions {
  /** Milliseconds between turns that found nothing to do. */
  idle: number
  /** Told once for each outage: a turn that rejects is had again, after pauses that grow to ten seconds. */
  onFault: (error: unknown) => void
}

const LONGEST_PAUSE = 10_000

/** Does something over and over, at once while there is more to do, until it is stopped. */
export class Loop {
  readonly #turn: (signal: AbortSignal) => Promise<boolean>
  readonly #options: LoopOptions
  readonly #stopping = new AbortController()
  #wake: () => void = () => {}
  #isWoken = false
  #running: Promise<void> | undefined

  /** @param turn one turn; answers whether there may be more to do */
  constructor (turn: (signal: AbortSignal) => Promise<boolean>, options: LoopOptions) {
    this.#turn = turn
    this.#options = options
  }

  start (): void {
    this.#running ??= this.#run()
  }

  /** Has the next turn now. */
  wake (): void {
    this.#isWoken = true
    this.#wake()
  }

  /** Resolves once the turn under way is through. */
  async stop (): Promise<void> {
    this.#stopping.abort()
    this.#wake()
    await this.#running
  }

  async #run (): Promise<void> {
    const { signal } = this.#stopping
    let faults = 0
    while (!signal.aborted) {
      this.#isWoken = false
      try {
        const isMore = await this.#turn(signal)
        faults = 0
        if (!isMore) await this.#pause(this.#options.idle)
      } catch (error) {
        if (signal.aborted) return
        if (faults++ === 0) this.#options.onFault(error)
        // Only the time helps: whoever wakes knows of something to do, not of the outage.
        await this.#pause(Math.min(LONGEST_PAUSE, this.#options.idle * 2 ** faults), false)
      }
    }
  }

  async #pause (milliseconds: number, canWake = true): Promise<void> {
    if (this.#stopping.signal.aborted || (canWake && this.#isWoken)) return
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds)
      this.#wake = () => {
        if (!canWake && !this.#stopping.signal.aborted) return
        clearTimeout(timer)
        resolve()
      }
    })
    this.#wake = () => {}
  }
}
