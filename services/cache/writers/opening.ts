import type { OnFault } from '../faults.js'
import { Durability, type DurabilityOptions, hasLeft } from './durability.js'
import { faultOfDisk } from './journal.js'

/** Milliseconds before the first retry, and at most. */
const FIRST_PAUSE = 100
const LONGEST_PAUSE = 5000

export interface OpeningOptions extends DurabilityOptions {
  /** Called when what could not be had at the start is there. */
  onTakenUp?: () => void
}

/**
 * Opens what is behind write_through and write_behind: with the first durable entry, or, where an earlier life of the process has left
 * something, at the start. Where that cannot be done (another process has the folder, as while one replaces the other) it is tried
 * again until it can. Until then nobody knows what is there: nothing may be said to be absent, or gone.
 */
export class Opening {
  #options: OpeningOptions
  #onFault: OnFault
  #durability: Durability | undefined
  #opening: Promise<Durability> | undefined
  #refusal: Error | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor (options: OpeningOptions) {
    this.#options = options
    this.#onFault = options.onFault
  }

  /** What is behind memory; undefined before the first durable entry. */
  get durability (): Durability | undefined { return this.#durability }
  /** Whether it is being opened. */
  get isUnderway (): boolean { return this.#opening !== undefined }
  /** Why what was left cannot be had yet. */
  get refusal (): Error | undefined { return this.#refusal }

  /** @throws BackendUnavailableError · BackendFullError while what was left cannot be had */
  get known (): Durability | undefined {
    if (this.#refusal !== undefined) throw this.#refusal
    return this.#durability
  }

  /** Takes up what earlier lives of the process have left, now or as soon as that can be done. Never rejects. */
  async takeUp (): Promise<void> { await this.#try(FIRST_PAUSE) }

  /** For a durable entry. @throws BackendUnavailableError · BackendFullError · UnsupportedOperationError */
  async open (): Promise<Durability> { return this.known ?? await this.#open() }

  async close (): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    await this.#opening?.catch(() => {}) // whoever asked for it was told
    await this.#durability?.close()
  }

  async #try (pause: number): Promise<void> {
    try {
      if (this.#durability === undefined && await hasLeft(this.#options.folder)) await this.#open()
    } catch (error) {
      if (this.#isClosed) return
      const refusal = asRefusal(error)
      if (refusal.message !== this.#refusal?.message) this.#onFault(refusal)
      this.#refusal = refusal
      this.#timer = setTimeout(() => { void this.#try(Math.min(2 * pause, LONGEST_PAUSE)) }, pause).unref()
      return
    }
    if (this.#refusal === undefined) return
    this.#refusal = undefined
    this.#options.onTakenUp?.()
  }

  async #open (): Promise<Durability> {
    this.#opening ??= Durability.open(this.#options).then((durability) => {
      this.#durability = durability
      return durability
    })
    try {
      return await this.#opening
    } catch (error) {
      this.#opening = undefined
      throw asRefusal(error)
    }
  }
}

/** Faults of the disk in words; what is one of the cache's errors already stays as it is. */
function asRefusal (error: unknown): Error {
  if ((error as { statusCode?: number }).statusCode !== undefined) return error as Error
  return Object.assign(faultOfDisk(error as NodeJS.ErrnoException), { cause: error })
}
