import type { LiveSample } from '../../schemas/live.js'
import { Reading } from './reading.js'

export interface SamplerOptions {
  /** Everything that was counted so far, as Prometheus text. */
  count: () => Promise<string>
  /** What happened between two readings. */
  sample: (before: Reading, now: Reading, time: number) => LiveSample | Promise<LiveSample>
  /** Is told when the first listener comes, and when the last one goes. */
  onWatched?: (isWatched: boolean) => void
  /** Is told why a sample is missing. */
  onFault?: (error: unknown) => void
  /** Milliseconds from one sample to the next: while somebody listens, and while nobody does. Default 1000 and 10 000. */
  period?: number
  idlePeriod?: number
}

/** A sample, with the number of milliseconds since the epoch at which it was taken. */
export interface Taken { time: number, sample: LiveSample }

/** How much is remembered: samples, and milliseconds. */
const BOUND = 300
const MEMORY = 300_000
/** The part of a period that two samples are apart at least: rates of a moment say nothing. */
const LEAST = 0.25

/**
 * Takes a sample a second while somebody listens, and one in ten seconds while nobody does, so that whoever comes sees the last minutes.
 * What happens is counted anyway: a sample is the difference of two readings of it, and no request pays for it.
 */
export class Sampler {
  readonly #options: Required<SamplerOptions>
  readonly #ring: Taken[] = []
  readonly #wakes = new Set<() => void>()
  #before: Reading | undefined
  #timer: NodeJS.Timeout | undefined
  #due = 0
  #isTaking = false
  #isClosed = false

  constructor (options: SamplerOptions) {
    this.#options = { onWatched: () => {}, onFault: () => {}, period: 1000, idlePeriod: 10_000, ...options }
  }

  /** Those that are remembered, the oldest first. */
  get samples (): readonly Taken[] { return this.#ring }

  /** Resolves when there is something to count from. */
  async start (): Promise<void> {
    await this.#take()
    this.#schedule(this.#options.idlePeriod)
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    for (const wake of this.#wakes) wake()
  }

  /**
   * Those that are remembered, and then each as it is taken, until `ended`.
   * @param after leaves out what was taken until then, in milliseconds since the epoch
   */
  async * listen (ended: AbortSignal, after = -Infinity): AsyncGenerator<Taken> {
    let seen = after
    let wake = (): void => {}
    const woken = (): void => { wake() }
    this.#wakes.add(woken)
    ended.addEventListener('abort', woken, { once: true })
    if (this.#wakes.size === 1) {
      this.#options.onWatched(true)
      this.#hasten()
    }
    try {
      while (!ended.aborted && !this.#isClosed) {
        const next = new Promise<void>((resolve) => { wake = resolve })
        for (const taken of this.#ring.filter(({ time }) => time > seen)) {
          seen = taken.time
          yield taken
        }
        if (!ended.aborted && !this.#isClosed) await next
      }
    } finally {
      ended.removeEventListener('abort', woken)
      this.#wakes.delete(woken)
      if (this.#wakes.size === 0) this.#options.onWatched(false)
    }
  }

  /** The first listener does not wait for the end of a long interval. */
  #hasten (): void {
    const { period } = this.#options
    const since = performance.now() - (this.#before?.at ?? -Infinity)
    this.#schedule(Math.max(0, Math.min(period, LEAST * period - since)))
  }

  #schedule (delay: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#due = performance.now() + delay
    this.#timer = setTimeout(() => { void this.#tick() }, delay).unref()
  }

  async #tick (): Promise<void> {
    if (this.#isTaking) return
    this.#isTaking = true
    await this.#take()
    this.#isTaking = false
    const period = this.#wakes.size > 0 ? this.#options.period : this.#options.idlePeriod
    // What taking one takes does not add up; what was missed is not made up for.
    this.#schedule(Math.max(LEAST * period, this.#due + period - performance.now()))
  }

  async #take (): Promise<void> {
    const { count, sample, onFault } = this.#options
    try {
      const reading = new Reading(await count(), performance.now())
      const before = this.#before
      this.#before = reading
      if (before === undefined) return
      const time = Math.max(Date.now(), (this.#ring.at(-1)?.time ?? 0) + 1)
      this.#keep({ time, sample: await sample(before, reading, time) })
    } catch (error) {
      onFault(error)
    }
  }

  #keep (taken: Taken): void {
    this.#ring.push(taken)
    while (this.#ring.length > BOUND || this.#ring[0]!.time < taken.time - MEMORY) this.#ring.shift()
    for (const wake of this.#wakes) wake()
  }
}
