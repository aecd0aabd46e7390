import type { BreakerState, BreakerSwitch } from '../../breaker.js'
import { type Caller, isLeaving } from '../../caller.js'
import { type QueueState, Turns } from '../../turns.js'
import { Guard } from '../guard.js'
import type { Connections, Queries } from './connections.js'
import { isFull, isOutage, isPassing } from './faults.js'

/**
 * How long a statement may take, in milliseconds. A checkpoint or a burst of writes holds a healthy database up for some hundred,
 * where Redis answers from memory.
 */
export const DEADLINE = 1000
/** Consecutive outages after which the database is left alone; no more than run at once, so that those who wait learn of it together. */
const BREAK_AFTER = 3
/** Rows in a portion of a scan. */
export const PAGE = 1000

export interface TablesOptions<Name extends string> {
  connections: Connections
  /** Begins the names that the statements are prepared under. */
  prefix: string
  /** Each takes the owner as its first value. */
  texts: Readonly<Record<Name, string>>
  /** Those that only read: they may be asked twice, within the deadline. Default: none. */
  reads?: ReadonlySet<Name>
  /** Tells its rows from those of others: letters and digits. */
  owner: string
  /** What they are for, and what to say to whoever needs them while the database is away. */
  name: string
  away: string
  /** Statements that may run at once. Default as many as the connections take. */
  concurrency?: number
}

/** The rows of one owner in the tables of the cache. Every statement is one transaction, and keeps to a deadline. */
export class Tables<Name extends string> {
  #options: TablesOptions<Name>
  #guard: Guard
  #turns: Turns

  constructor (options: TablesOptions<Name>) {
    const { name, away, connections: { concurrency, retry }, concurrency: own = Infinity } = options
    this.#options = options
    this.#turns = new Turns(Math.min(concurrency, own))
    this.#guard = new Guard({ name, away, breakAfter: BREAK_AFTER, trials: () => retry?.policy.trials, isOutage, isFull, turns: this.#turns })
  }

  get breaker (): BreakerState { return this.#guard.state }
  get switch (): BreakerSwitch { return this.#guard.switch }
  get queue (): QueueState { return this.#turns }
  /** When the database last answered anything in time, on the clock of `performance`. */
  get answeredAt (): number { return this.#guard.answeredAt }

  /** @throws BackendUnavailableError · BackendFullError */
  async ask<Row> (name: Name, ...values: unknown[]): Promise<Row[]> { return await this.askFor<Row>(undefined, name, ...values) }

  /** The same on behalf of a caller: once it has gone nothing is asked any more. */
  async askFor<Row> (caller: Caller | undefined, name: Name, ...values: unknown[]): Promise<Row[]> {
    const { connections: { pool, retry }, reads } = this.#options
    const begun = performance.now()
    let fault: unknown
    // Whoever pauses before another try leaves the turn to others.
    const ask = async (milliseconds: number): Promise<Row[]> => {
      fault = undefined
      return await this.#guard.run(async () => await this.over<Row>(pool, name, ...values).catch((error: unknown) => {
        fault = error
        throw error
      }), milliseconds, undefined, false, caller)
    }
    if (retry === undefined || reads?.has(name) !== true) return await ask(DEADLINE)
    try {
      const rows = await ask(Math.min(DEADLINE, retry.policy.deadline))
      retry.budget.succeeded()
      return rows
    } catch (error) {
      if (isLeaving(error, caller)) throw error
      return await retry.resume(error, begun, async () => await ask(Math.max(1, begun + DEADLINE - performance.now())), {
        judge: () => isPassing(fault) ? 'lost' : 'final', signal: caller?.signal, deadline: DEADLINE
      })
    }
  }

  /** The same over a connection of one's own, without a deadline. */
  async over<Row> (connection: Queries, name: Name, ...values: unknown[]): Promise<Row[]> {
    const { prefix, texts, owner } = this.#options
    const { rows } = await connection.query({ name: `${prefix}_${name}`, text: texts[name], values: [owner, ...values] })
    return rows as Row[]
  }

  /** Every row of a namespace (of all, when undefined) by the statements `scanNamespace` and `scan`, in the order of their names. */
  async * pages<Row extends { namespace: string, key: string }> (this: Tables<Name | 'scan' | 'scanNamespace'>, namespace: string | undefined): AsyncGenerator<Row[]> {
    let last = { namespace: namespace ?? '', key: '' }
    for (;;) {
      const rows = await this.ask<Row>(namespace === undefined ? 'scan' : 'scanNamespace', last.namespace, last.key, PAGE)
      if (rows.length > 0) yield rows
      if (rows.length < PAGE) return
      last = rows[rows.length - 1] as Row
    }
  }
}

/** A key as the tables have it, as JSON: text refuses NUL and halves of surrogate pairs. */
export const columnOf = (key: string): string => JSON.stringify(key)
/** And back. */
export const keyIn = (column: string): string => JSON.parse(column) as string
