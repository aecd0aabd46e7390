/** What is let go last, first: probes are always answered; what makes answers true again goes before reads and writes; what is much work waits. */
export const PRIORITIES = ['health', 'invalidation', 'ordinary', 'bulk'] as const
export type Priority = typeof PRIORITIES[number]

export interface OverloadOptions {
  /** Milliseconds by which the event loop may be late for some time; 0 turns nobody away for it. */
  delay: number
  /** Requests under way at once. */
  concurrency: number
  now?: () => number
}

/** Milliseconds between looks at the event loop. A pause is one late look; three in a row are a loop that does not keep up. */
const PERIOD = 250
/** How many times the delay each class bears, and which part of the requests under way it may make it come to; undefined: any. */
const BEARS: Readonly<Record<Priority, { delays: number, part: number } | undefined>> = {
  health: undefined,
  invalidation: { delays: 4, part: 1 },
  ordinary: { delays: 2, part: 0.9 },
  bulk: { delays: 1, part: 0.5 }
}

/**
 * Turns work away that would only make everything late, by classes: a process that is late for its own timers, or has too much under way,
 * answers the important part in time rather than all of it too late.
 */
export class Overload {
  readonly #options: Required<OverloadOptions>
  readonly #shed: Record<Priority, number> = { health: 0, invalidation: 0, ordinary: 0, bulk: 0 }
  #timer: NodeJS.Timeout | undefined
  #due = 0
  /** How late the last two looks were, the newer first. */
  #late: [number, number] = [0, 0]
  #sustained = 0
  /** Requests under way. */
  underWay = 0

  constructor (options: OverloadOptions) {
    this.#options = { now: () => performance.now(), ...options }
  }

  /** Milliseconds by which the event loop has been late three times in a row. */
  get delay (): number { return this.#sustained }

  /** Requests turned away so far, by class. */
  get shed (): Readonly<Record<Priority, number>> { return this.#shed }

  start (): void {
    if (this.#options.delay === 0) return
    this.#due = this.#options.now() + PERIOD
    this.#timer = setInterval(() => { this.look() }, PERIOD).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /** Called each period by the timer, and so late when the event loop is. */
  look (): void {
    const now = this.#options.now()
    const late = Math.max(0, now - this.#due)
    this.#sustained = Math.min(late, ...this.#late)
    this.#late = [late, this.#late[0]]
    this.#due = now + PERIOD
  }

  /** Whether there is room for one more of the class. */
  admits (priority: Priority): boolean {
    const bears = BEARS[priority]
    if (bears === undefined) return true
    const { delay, concurrency } = this.#options
    if ((this.#sustained === 0 || this.#sustained <= bears.delays * delay) && this.underWay < bears.part * concurrency) return true
    this.#shed[priority]++
    return false
  }
}
