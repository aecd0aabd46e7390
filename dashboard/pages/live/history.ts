import type { LiveSample } from '../../../schemas/live.js'

/** Seconds that are shown. */
const SHOWN = 300
/** Seconds by which a sample may be late before there is a gap. */
const LATE = 1.5

/** A moment of the charts; without a sample it is one of which nothing is known. */
export interface Moment {
  /** Seconds since 1970. */
  time: number
  sample: LiveSample | undefined
}

/** The samples of the last minutes in their order, each once, whatever order they come in. */
export class History {
  #moments: readonly Moment[] = []

  get moments (): readonly Moment[] { return this.#moments }

  get last (): LiveSample | undefined { return this.#moments.at(-1)?.sample }

  add (sample: LiveSample): void {
    const time = Date.parse(sample.time) / 1000
    const before = this.#moments.at(-1)
    // After a service that was away another may answer whose memory goes back further: what is known stays.
    if (before !== undefined && time <= before.time) return
    const begun = time - sample.seconds
    const gap: Moment[] = before !== undefined && begun - before.time > LATE ? [{ time: before.time + LATE / 2, sample: undefined }] : []
    this.#moments = [...this.#moments, ...gap, { time, sample }].filter((moment) => moment.time > time - SHOWN)
  }
}
