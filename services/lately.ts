export interface LatelyOptions {
  /** Milliseconds that whoever looks waits for a new answer. Default 200. */
  patience?: number
  /** Milliseconds for which an answer stands. Default 1000. */
  lifetime?: number
}

/**
 * What others have to be asked for, for somebody who must not wait for them: a scrape, which tells of ten other things too. It is asked for
 * when somebody looks, once at a time; who does not get it in time gets what was known before.
 */
export class Lately<T> {
  readonly #ask: () => Promise<T | undefined>
  readonly #patience: number
  readonly #lifetime: number
  #known: T | undefined
  #askedAt = -Infinity
  #asking: Promise<void> | undefined

  /** @param ask undefined, or a rejection, when it cannot be known: then nothing is known any more */
  constructor (ask: () => Promise<T | undefined>, { patience = 200, lifetime = 1000 }: LatelyOptions = {}) {
    this.#ask = ask
    this.#patience = patience
    this.#lifetime = lifetime
  }

  /** Never rejects. */
  async look (): Promise<T | undefined> {
    if (this.#asking === undefined && performance.now() - this.#askedAt >= this.#lifetime) this.#asking = this.#renew()
    if (this.#asking === undefined) return this.#known
    let timer: NodeJS.Timeout | undefined
    const enough = new Promise<void>((resolve) => { timer = setTimeout(resolve, this.#patience) })
    await Promise.race([this.#asking, enough]).finally(() => { clearTimeout(timer) })
    return this.#known
  }

  async #renew (): Promise<void> {
    this.#askedAt = performance.now()
    // Whoever is asked says in a log of its own why it cannot tell.
    this.#known = await this.#ask().catch(() => undefined)
    this.#asking = undefined
  }
}
