import type { Caller } from './caller.js'

/**
 * Those who wait for one load, which is theirs together: it is over when the last of them has left, and nobody comes any more. They are one
 * caller to what is done for them.
 */
export class Audience implements Caller {
  /** Who begins it waits as well. */
  #present = 1
  #isOver = false
  #reason: unknown
  #end: AbortController | undefined
  readonly #watching = new Set<() => void>()

  /** Whether everybody has left. Until it is over, somebody may come. */
  get isDeserted (): boolean { return this.#present === 0 }

  /** Whether it was given up: who comes now needs another one. */
  get isOver (): boolean { return this.#isOver }

  /** Aborted when the last one leaves. Who has looked at it is taken to stop then: it is over. */
  get signal (): AbortSignal {
    if (this.#end === undefined) {
      this.#end = new AbortController()
      if (this.isDeserted) this.#giveUp()
    }
    return this.#end.signal
  }

  join (): void { this.#present++ }

  /** From now on somebody is there who never leaves: it is done for the cache. */
  stay (): void { this.#present = Infinity }

  leave (reason: unknown): void {
    if (--this.#present > 0) return
    this.#reason = reason
    if (this.#end !== undefined) this.#giveUp()
    for (const tell of [...this.#watching]) tell()
  }

  /** Between two steps: it is over where nobody is there any more. @throws why the last one left */
  throwIfDeserted (): void {
    if (!this.isDeserted) return
    this.#giveUp()
    throw this.#reason
  }

  /** Has `tell` called each time that the last one leaves. @returns ends that */
  watch (tell: () => void): () => void {
    this.#watching.add(tell)
    return () => { this.#watching.delete(tell) }
  }

  #giveUp (): void {
    this.#isOver = true
    this.#end?.abort(this.#reason)
  }
}
