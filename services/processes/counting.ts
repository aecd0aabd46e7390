import { Activity, type Counts } from '../cache/analytics/activity.js'
import { monotonicNow } from '../cache/clock.js'
import type { Sample } from '../metrics.js'
import { Census } from './census.js'
import type { Answer, Order, Question, Report } from './messages.js'
import { inTurns, Rounds } from './rounds.js'
import { NAMES, type Change, type RowName } from './rows.js'
import { Tallies } from './tallies.js'

export interface CountingOptions {
  /** Sends to every process that serves; answers which ones those are. */
  send: (order: Order) => number[]
  /** What the process that leads has to tell itself. */
  own: () => Sample[]
  /** Whether there are metrics. */
  hasMetrics: boolean
  onFault: (error: unknown) => void
}

/** Milliseconds between counts that nobody asked for, so that little of what a process has counted goes with it when it is killed. */
const INTERVAL = 2000

/**
 * What all processes have counted, in the one that leads them. Those that serve are asked, with a deadline; of one that does not answer in time, or that has
 * ended, the last that is known of it counts, so that no sum falls.
 */
export class Counting {
  readonly #options: CountingOptions
  readonly #rounds = new Rounds()
  readonly #census: Census
  readonly #tallies = new Tallies()
  /** By the group that they follow. */
  readonly #activities = new Map<string, Activity>()
  readonly #now = monotonicNow()
  readonly #since = this.#now()
  readonly #tally: () => Promise<void>
  readonly #timer: NodeJS.Timeout
  /** Rows that the next round asks for by name. */
  #asked: RowName[] = []

  constructor (options: CountingOptions) {
    this.#options = options
    const { send, own, hasMetrics, onFault } = options
    this.#census = new Census({ ask: async () => await this.#rounds.ask((round) => send({ larder: 'count', round })), own })
    this.#tally = inTurns(async () => {
      const asked = this.#asked
      this.#asked = []
      await this.#rounds.ask((round) => send({ larder: 'tally', round, asked }))
      for (const activity of this.#activities.values()) activity.turn()
    })
    this.#timer = setInterval(() => { Promise.all([this.#tally(), hasMetrics && this.#census.take()]).catch(onFault) }, INTERVAL).unref()
  }

  stop (): void { clearInterval(this.#timer) }

  /** The metrics of all of them, as Prometheus text. */
  async totals (): Promise<string> { return await this.#census.take() }

  async answer ({ rows = [], groups = [], most, activity, each }: Question): Promise<Answer> {
    // What others ask for meanwhile is asked for again: there is room for so many.
    this.#asked.push(...rows.slice(0, Math.max(0, NAMES - this.#asked.length)))
    const { send } = this.#options
    const [told] = await Promise.all([
      each === undefined ? [] : this.#rounds.ask((round) => send({ larder: 'tell', round, about: each })),
      this.#tally()
    ])
    return {
      rows: rows.map(([group, name]) => this.#tallies.row(group, name)),
      groups: groups.map((group) => this.#tallies.rows(group)),
      most: most === undefined ? [] : this.#tallies.most(most.group, most.limit),
      activity: activity && this.#activity(activity.group).report(activity.namespace),
      since: this.#since,
      each: told
    }
  }

  /**
   * What a process says.
   * @param process unlike any other, though it may have taken the place of one
   * @param place whose process it is
   */
  hear (process: number, place: number, report: Report): void {
    switch (report.larder) {
      case 'counts':
        this.#census.counted(place, report.snapshot)
        this.#rounds.answered(process, report.round)
        break
      case 'tally':
        this.#changed(process, report.changes)
        this.#rounds.answered(process, report.round)
        break
      case 'told':
        this.#rounds.answered(process, report.round, report.told)
        break
      case 'last':
        this.#census.counted(place, report.snapshot)
        this.#changed(process, report.changes)
    }
  }

  /** Nothing is to be heard of it any more. */
  ended (process: number, place: number): void {
    this.#census.ended(place)
    this.#tallies.ended(process)
    this.#rounds.ended(process)
  }

  #changed (process: number, changes: readonly Change[]): void {
    // Before what was counted is known, so that all of it belongs to what happened since.
    for (const [group] of changes) if (group.startsWith('sum:cache/')) this.#activity(group)
    this.#tallies.changed(process, changes)
  }

  #activity (group: string): Activity {
    let activity = this.#activities.get(group)
    if (activity === undefined) {
      const counters = (namespace = ''): Counts => ({ hits: 0, misses: 0, sets: 0, deletes: 0, evictions: 0, ...this.#tallies.row(group, namespace) })
      activity = new Activity({ counters, namespaces: () => this.#tallies.names(group) }, this.#now)
      this.#activities.set(group, activity)
    }
    return activity
  }
}
