import { isOutage, type OnFault, warnOfFault } from '../faults.js'

/** After a try that failed, in milliseconds. */
const TRY_AGAIN = 1000
/** How long anybody waits for it, in milliseconds. */
const PATIENCE = 5000

/** Work in the background that brings a server to what the limits say: one at a time, once more when they changed meanwhile or it failed. */
export class Settlement {
  #work: () => Promise<void>
  #onFault: OnFault
  #running: Promise<void> | undefined
  #isStale = false
  #isClosed = false
  #timer: NodeJS.Timeout | undefined

  constructor (work: () => Promise<void>, onFault = warnOfFault) {
    this.#work = work
    this.#onFault = onFault
  }

  /** Now, or as soon as what is under way is done. */
  begin (): void {
    this.#isStale = true
    if (this.#running !== undefined || this.#isClosed) return
    clearTimeout(this.#timer)
    this.#running = this.#run().catch((error: unknown) => {
      // While the server is away there is nothing to settle: writes keep to the limits all the same, and it is tried again.
      if (!isOutage(error)) this.#onFault(error)
      this.#isStale = true
    }).finally(() => {
      this.#running = undefined
      if (!this.#isStale || this.#isClosed) return
      this.#timer = setTimeout(() => { this.begin() }, TRY_AGAIN)
      this.#timer.unref()
    })
  }

  /** Settles when it is done, when the server cannot be asked, or after some seconds: then it goes on by itself. */
  async settled (): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => { timer = setTimeout(resolve, PATIENCE) })
    await Promise.race([this.#running, enough]).finally(() => { clearTimeout(timer) })
  }

  close (): void {
    clearTimeout(this.#timer)
    this.#isClosed = true
  }

  async #run (): Promise<void> {
    while (this.#isStale && !this.#isClosed) {
      this.#isStale = false
      await this.#work()
    }
  }
}
