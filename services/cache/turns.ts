import { type Caller, onLeaving } from './caller.js'

/**
 * How many wait for a turn at most. Ten thousand misses at once, of as many keys, are a burst that a process may be given (`MAX_CONCURRENT_REQUESTS`),
 * and each of them may have a second operation with it. More could not be answered within the deadlines of any of the servers.
 */
export const MOST_WAITING = 20_000

/** Nothing was begun: too many wait already, or no turn came in time though the other side works. */
export class NoTurnError extends Error {
  override readonly name = 'NoTurnError'
}

/** Someone in the queue. */
export interface Place {
  readonly proceed: () => boolean
  ahead: Place | undefined
  behind: Place | undefined
  isLeft: boolean
}

/** How many wait just now, how many were refused since they were too many, and how many gave up. */
export interface QueueState { readonly waiting: number, readonly refused: number, readonly late: number }

/** Lets so many run at once; the others wait in the order in which they came, and so many at most. */
export class Turns implements QueueState {
  readonly #most: number
  #free: number
  #first: Place | undefined
  #last: Place | undefined
  #waiting = 0
  #refused = 0
  #late = 0

  /** @param most how many may wait. Default 20,000 */
  constructor (atOnce: number, most = MOST_WAITING) {
    this.#free = atOnce
    this.#most = most
  }

  get waiting (): number { return this.#waiting }
  get refused (): number { return this.#refused }
  get late (): number { return this.#late }

  /** Whether there was a turn to be had, which is the caller's now, until `pass`. */
  begin (): boolean {
    if (this.#free === 0) return false
    this.#free--
    return true
  }

  /**
   * A place in the queue, to be given up by `leave`. Where there is a turn to be had, it is to be taken by `begin`.
   * @param proceed called once when its turn has come, to begin at once; answers whether it does
   * @throws NoTurnError when too many wait
   */
  queue (proceed: () => boolean): Place {
    if (this.#waiting >= this.#most) {
      this.#refused++
      throw new NoTurnError('Too many wait for their turn')
    }
    const place: Place = { proceed, ahead: this.#last, behind: undefined, isLeft: false }
    if (this.#last === undefined) this.#first = place
    else this.#last.behind = place
    this.#last = place
    this.#waiting++
    return place
  }

  /** Gives a place up that has not had its turn. */
  leave (place: Place): void {
    if (place.isLeft) return
    this.#late++
    this.#remove(place)
  }

  /** Gives a turn back, to whoever is next. */
  pass (): void {
    for (let next = this.#first; next !== undefined; next = this.#first) {
      this.#remove(next)
      if (next.proceed()) return
      this.#late++
    }
    this.#free++
  }

  /** Waits for a turn for so many milliseconds at most, and while its caller is there. Answers whether it came: it is to be given back then. */
  async wait (milliseconds: number, caller?: Caller): Promise<boolean> {
    if (this.begin()) return true
    const signal = caller?.signal
    if (this.#waiting >= this.#most || signal?.aborted === true) return false
    return await new Promise<boolean>((resolve) => {
      const end = (hasCome: boolean): boolean => {
        clearTimeout(timer)
        stay?.()
        resolve(hasCome)
        return true
      }
      const place = this.queue(() => end(true))
      const giveUp = (): void => {
        this.leave(place)
        end(false)
      }
      const timer = setTimeout(giveUp, milliseconds)
      const stay = signal === undefined ? undefined : onLeaving(signal, giveUp)
    })
  }

  /** Waits as long as it takes. @throws NoTurnError when too many wait */
  async take<T> (work: () => Promise<T>): Promise<T> {
    if (!this.begin()) {
      await new Promise<void>((resolve) => {
        this.queue(() => {
          resolve()
          return true
        })
      })
    }
    try {
      return await work()
    } finally {
      this.pass()
    }
  }

  #remove (place: Place): void {
    const { ahead, behind } = place
    if (ahead === undefined) this.#first = behind
    else ahead.behind = behind
    if (behind === undefined) this.#last = ahead
    else behind.ahead = ahead
    place.ahead = undefined
    place.behind = undefined
    place.isLeft = true
    this.#waiting--
  }
}
