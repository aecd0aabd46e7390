import type { BaseLogger } from 'pino'
import { breakerLevel, type BreakerState, type BreakerSwitch } from './cache/breaker.js'
import { NotFoundError } from './errors.js'

export interface BreakerStatus {
  name: string
  state: BreakerState
  /** Whether it was opened by hand, and stays so until it is closed by hand. */
  isHeld: boolean
  /** Since when it has been in its state, in milliseconds since the epoch. */
  since: number
  /** Outages since the server last answered. */
  outages: number
}

/** What is done to one of them by hand. */
export interface BreakerChange { name: string, to: 'open' | 'closed' }

/** That a breaker has opened or closed; while it looks again and again in vain, it has not. */
export interface BreakerNews {
  name: string
  to: 'opened' | 'closed'
  /** Whether it is open by hand; one that was open already tells it as well. */
  isHeld: boolean
  /** Of the change, and when the breaker had opened, in milliseconds since the epoch. */
  since: number
  openedAt: number
  /** Consecutive outages; none any more where it is closed. */
  outages: number
}

export interface BreakersOptions { log: Pick<BaseLogger, 'info' | 'warn'> }

/** The breakers of this process, by name; says in the log, and to whoever wants to know, when one opens and when it closes. */
export class Breakers {
  readonly #log: BreakersOptions['log']
  readonly #switches = new Map<string, BreakerSwitch>()
  readonly #listeners = new Set<(news: BreakerNews) => void>()

  constructor ({ log }: BreakersOptions) { this.#log = log }

  /** One that is added later takes the place of an earlier one of its name. */
  add (name: string, breaker: BreakerSwitch): void {
    this.#switches.set(name, breaker)
    let last = ''
    let openedAt = 0
    breaker.watch((state) => {
      // While it looks again and again in vain, that is one outage.
      const now = state === 'half-open' ? last : breaker.isHeld ? 'held' : state
      if (now === last || (last === '' && now === 'closed')) return
      if (now !== 'closed' && (last === '' || last === 'closed')) openedAt = breaker.since
      last = now
      const detail = { breaker: name, outages: breaker.outages }
      if (now === 'held') this.#log.warn(detail, `The breaker of ${name} is held open: it is left alone until somebody closes it`)
      else if (now === 'open') this.#log.warn(detail, `The breaker of ${name} is open: it does not answer, and is left alone for a moment`)
      else this.#log.info(detail, `The breaker of ${name} is closed`)
      const { isHeld, since, outages } = breaker
      for (const tell of this.#listeners) tell({ name, to: now === 'closed' ? 'closed' : 'opened', isHeld, since, openedAt, outages })
    })
  }

  /** Is told of changes from now on, which wait for it: it must not throw. Answers how to stop that. */
  onNews (listener: (news: BreakerNews) => void): () => void {
    this.#listeners.add(listener)
    return () => { this.#listeners.delete(listener) }
  }

  /** Whether it is held open by hand. */
  isHeld (name: string): boolean { return this.#switches.get(name)?.isHeld === true }

  list (): BreakerStatus[] {
    return [...this.#switches].map(([name, { state, isHeld, since, outages }]) => ({ name, state, isHeld, since, outages }))
  }

  /** @throws NotFoundError */
  check (name: string): void {
    if (!this.#switches.has(name)) throw new NotFoundError(`There is no breaker ${name}: GET /admin/breakers lists those there are.`)
  }

  change ({ name, to }: BreakerChange): void {
    const breaker = this.#switches.get(name)
    if (to === 'open') breaker?.hold()
    else breaker?.close()
  }
}

/** Of several processes: of each breaker the worst state and since when, and the most outages; held where any process holds it. */
export function worstOf (told: readonly BreakerStatus[][]): BreakerStatus[] {
  const worst = new Map<string, BreakerStatus>()
  for (const one of told.flat()) {
    const other = worst.get(one.name)
    const [first, second] = other === undefined || levelOf(one) > levelOf(other) || (levelOf(one) === levelOf(other) && one.since < other.since) ? [one, other] : [other, one]
    worst.set(one.name, { ...first, isHeld: first.isHeld || second?.isHeld === true, outages: Math.max(first.outages, second?.outages ?? 0) })
  }
  return [...worst.values()]
}

const levelOf = ({ state }: BreakerStatus): number => breakerLevel(state)
