import type { Pool, PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg'
import { Breaker, type BreakerState, type BreakerSwitch, isRefusal } from './cache/breaker.js'
import { Retry } from './cache/retry.js'
import { ASK_ID, beginLife, type CommitOutcome, type CommitProof, outcomeOf } from './database/commit.js'
import { connectWithin, within } from './database/connecting.js'
import { ConnectionQueue } from './database/connection-queue.js'
import { fromDatabase, CommitUnknownError } from './database/errors.js'
import { AttemptFault, isConnectionLost, isCrowded, isOutage, type Stage, verdictOf } from './database/faults.js'
import { orGiveUp } from './database/giving-up.js'
import { Lease } from './database/lease.js'

/** A statement with its values apart: what `@nearform/sql` makes. */
export type Statement = string | QueryConfig<unknown[]>

/** Whatever takes statements: the pool, or one transaction. */
export interface Queryable {
  query<Row extends QueryResultRow = QueryResultRow> (statement: Statement): Promise<QueryResult<Row>>
}

/** One attempt at a transaction. */
export interface Transaction extends Queryable {
  /**
   * Says by what the transaction's commit can be found out when its answer is lost: saves a question before the COMMIT, and holds after
   * a crash of the server, too.
   */
  proveBy (proof: Required<Pick<CommitProof, 'id' | 'statement'>>): void
  /** Calls `undo` when this attempt came to nothing. Another one may follow. */
  onFailure (undo: () => void): void
}

/** The part of a `pg` pool that is used here; the embedded database has one as well. */
export type ConnectionPool = Pick<Pool, 'connect' | 'query'>

/** What services use of a database. */
export type DatabaseAccess = Pick<Database, 'query' | 'transaction' | 'within'>

/** On whose behalf the database is asked. */
export interface Call {
  /** Ends waits, for a connection and between attempts, and statements. What has not been committed by then is rolled back. */
  signal?: AbortSignal | undefined
  /** When it is too late, on the clock of `performance`. Absent: as the policy has it. */
  until?: number | undefined
}

export interface QueryOptions extends Call {
  /** Whether the statement may be carried out twice. Default: what begins with SELECT may. */
  repeatable?: boolean
  /** Attempts, where fewer than the policy has are wanted: 1 for what is asked again soon in any case. */
  attempts?: number
}

export interface DatabaseOptions {
  /** Connections that may be used at once. Default: as many as the pool gives. */
  connections?: number
  /** Callers that may wait for one. Default 1000. */
  waiting?: number
  /** Milliseconds that each of them waits. Default 3000. */
  patience?: number
  /** What is tried again, and how often. Default: by the default policy. */
  retry?: Retry
  /**
   * Whether commits are found out about when their answers are lost: on a server that has the tables of migrations/. Default false: such
   * a transaction is said to have an unknown outcome.
   */
  findsCommits?: boolean
  onBreaker?: (state: BreakerState) => void
}

/** Consecutive failures to connect, or hung statements, after which the server is left alone, and for how many milliseconds. */
const BREAK_AFTER = 5
const LEAVE_ALONE = 250
/** What shows that the server is back, and the milliseconds that it has for it. */
const LOOK = { text: 'SELECT 1', query_timeout: 1000 } as QueryConfig

/**
 * One database, be it a server or the embedded one. Faults come as the errors of `fromDatabase`, once it is of no use to try again: see
 * docs/retry.md.
 */
export class Database implements Queryable {
  readonly #pool: ConnectionPool
  readonly #queue: ConnectionQueue
  readonly #breaker: Breaker
  readonly #retry: Retry
  readonly #findsCommits: boolean
  /** What became of transactions whose answer to COMMIT was lost. */
  readonly lostCommits: Record<CommitOutcome, number> = { committed: 0, aborted: 0, unknown: 0 }

  constructor (pool: ConnectionPool, { connections = Infinity, waiting = 1000, patience = 3000, retry, findsCommits = false, onBreaker }: DatabaseOptions = {}) {
    this.#pool = pool
    this.#queue = new ConnectionQueue({ connections, waiting, patience })
    const trying = this.#retry = retry ?? new Retry({ dependency: 'postgres' })
    this.#breaker = new Breaker({ isOutage, breakAfter: BREAK_AFTER, leaveAlone: LEAVE_ALONE, trials: () => trying.policy.trials, ...onBreaker && { onState: onBreaker } })
    this.#findsCommits = findsCommits
  }

  /** `closed` is the good state; `open` leaves the server alone for a quarter of a second. */
  get breaker (): BreakerState { return this.#breaker.state }

  /** The breaker, for operators. */
  get switch (): BreakerSwitch { return this.#breaker }

  /** Callers that have a connection, those that wait for one, and how many could have one. */
  get connections (): { used: number, waiting: number, limit: number } {
    const { used, waiting, limit } = this.#queue
    return { used, waiting, limit }
  }

  /** Tried again when that cannot do anything twice. */
  async query<Row extends QueryResultRow = QueryResultRow> (statement: Statement, options: QueryOptions = {}): Promise<QueryResult<Row>> {
    const stage = options.repeatable ?? isRead(statement) ? 'open' : 'ambiguous'
    return await this.#attempts(options, async (lease) => {
      try {
        return await orGiveUp(lease, options.signal, async () => await lease.client.query<Row>(statement))
      } catch (error) {
        lease.isBroken ||= isConnectionLost(error)
        throw new AttemptFault(error, stage)
      }
    })
  }

  /**
   * Runs `work` in one transaction: committed when it returns, rolled back when it throws. Inside, use what it is given and
   * nothing else: the embedded database has one connection, which the transaction holds. After a conflict or a lost connection all of it is
   * done again, so `work` does nothing outside of the transaction that may not be done twice.
   * @throws CommitUnknownError when the connection was lost during the COMMIT and the database could not be asked in time
   */
  async transaction<T> (work: (transaction: Transaction) => Promise<T>, call: Call = {}): Promise<T> {
    return await this.#attempts(call, async (lease) => await this.#transact(lease, work, call))
  }

  /** Whether the database answers: rejects with the fault when it does not. Asks also while it is left alone. */
  async ping (): Promise<void> {
    try {
      await this.#pool.query('SELECT 1')
    } catch (error) {
      throw fromDatabase(error)
    }
  }

  /** The same database on behalf of a caller. */
  within (call: Call): DatabaseAccess {
    return {
      query: async (statement, options) => await this.query(statement, { ...call, ...options }),
      transaction: async (work, options) => await this.transaction(work, { ...call, ...options }),
      within: (other) => this.within({ ...call, ...other })
    }
  }

  async #attempts<T> (options: QueryOptions, work: (lease: Lease) => Promise<T>): Promise<T> {
    const { signal, until, attempts } = options
    try {
      return await this.#retry.run(
        async (left) => await this.#attempt(left, signal, work),
        { judge: verdictOf, signal, attempts, deadline: until === undefined ? undefined : until - performance.now() })
    } catch (error) {
      // Whatever it was then: nobody waits for it any more. But what may have been done is never said to be undone.
      if (!(error instanceof CommitUnknownError)) signal?.throwIfAborted()
      if (isRefusal(error)) throw fromDatabase(new Error('The server is left alone', { cause: error }))
      throw error instanceof AttemptFault ? fromDatabase(error.fault) : error
    }
  }

  async #attempt<T> (left: number, signal: AbortSignal | undefined, work: (lease: Lease) => Promise<T>): Promise<T> {
    const until = performance.now() + left
    for (let isFirst = false; ; isFirst = true) {
      this.#breaker.check()
      const leave = await whileConnecting(this.#queue.enter(until - performance.now(), signal, isFirst), signal)
      try {
        await whileConnecting(this.#seeAgain(until, signal), signal)
        return await this.#breaker.run(async () => {
          const lease = new Lease(await whileConnecting(connectWithin(this.#pool, until - performance.now(), signal), signal), until, leave)
          try {
            return await work(lease)
          } finally {
            lease.end()
          }
        })
      } catch (error) {
        if (!(error instanceof AttemptFault && error.stage === 'connecting' && isCrowded(error.fault) && this.#queue.narrow())) throw error
      } finally {
        leave()
      }
    }
  }

  /**
   * After the server was left alone, answers to a question show whether it is back: not somebody's transaction, which may wait for a lock while all others wait
   * for it. They do so in their places in the queue, and for no longer than they would for a connection.
   */
  async #seeAgain (until: number, signal: AbortSignal | undefined): Promise<void> {
    while (this.#breaker.state !== 'closed') {
      const seeing = this.#breaker.run(async () => {
        if (this.#breaker.state !== 'closed') await whileConnecting(this.#pool.query(LOOK))
      })
      await within(seeing, until - performance.now(), signal)
    }
  }

  async #transact<T> (lease: Lease, work: (transaction: Transaction) => Promise<T>, { signal, until }: Call): Promise<T> {
    const undoings: (() => void)[] = []
    let proof: CommitProof | undefined
    let last: { fault: unknown, told: unknown } | undefined
    let stage: Stage = 'open'
    let result: T
    const query = async <Row extends QueryResultRow>(statement: Statement): Promise<QueryResult<Row>> => {
      signal?.throwIfAborted()
      try {
        // What became of a COMMIT is to be known, whoever has gone.
        return await orGiveUp(lease, stage === 'ambiguous' ? undefined : signal, async () => await lease.client.query<Row>(statement))
      } catch (fault) {
        lease.isBroken ||= isConnectionLost(fault)
        last = { fault, told: fromDatabase(fault) }
        throw last.told
      }
    }
    try {
      await query(until === undefined ? 'BEGIN' : `BEGIN; SET LOCAL statement_timeout = ${Math.max(1, Math.ceil(lease.until - performance.now()))}`)
      result = await work({ query, proveBy: (given) => { proof = given }, onFailure: (undo) => { undoings.push(undo) } })
      if (this.#findsCommits) proof ??= await this.#askProof(query)
      signal?.throwIfAborted()
      stage = 'ambiguous'
      const { command } = await query('COMMIT')
      // Somebody swallowed the error of a statement: PostgreSQL answers COMMIT with ROLLBACK then.
      if (command !== 'COMMIT') throw new Error('The transaction had failed before its commit')
      return result
    } catch (error) {
      const isLostCommit = stage === 'ambiguous' && isConnectionLost(last?.fault)
      if (isLostCommit) {
        const outcome = await this.#outcome(lease, proof)
        if (outcome === 'committed') return result!
        if (outcome === 'unknown') throw Object.assign(new CommitUnknownError(), { cause: last?.fault })
        stage = 'open'
      }
      for (const undo of undoings) undo()
      // A lost connection has taken its transaction along.
      if (!lease.isBroken) await lease.client.query('ROLLBACK').catch(() => { lease.isBroken = true })
      throw last !== undefined && error === last.told ? new AttemptFault(last.fault, stage) : error
    }
  }

  async #askProof (query: Queryable['query']): Promise<CommitProof> {
    const { rows: [proof] } = await query<{ id: string | null, life: string | null }>({ name: 'larder_commit', text: ASK_ID })
    // Without it, what was committed is taken for unknown: better than the reverse.
    if (proof?.id !== null && proof?.life === null) beginLife(this.#pool).catch(() => {})
    return proof as CommitProof
  }

  async #outcome (lease: Lease, proof: CommitProof | undefined): Promise<CommitOutcome> {
    const { client, until } = lease
    const { processID: pid } = client as PoolClient & { processID?: number }
    const finding = proof === undefined ? 'unknown' : outcomeOf({ proof, pid, until, connect: async () => await this.#connectFirst(until) })
    // Where all are lost at once, there is no other connection until they are given back. The place goes to who looks, waiting by now.
    lease.end()
    const outcome = await finding
    this.lostCommits[outcome]++
    return outcome
  }

  /** In front of all who wait, and also while the server is left alone. */
  async #connectFirst (until: number): Promise<Lease> {
    const leave = await this.#queue.enter(until - performance.now(), undefined, true)
    try {
      return new Lease(await connectWithin(this.#pool, until - performance.now()), until, leave)
    } catch (error) {
      leave()
      throw error
    }
  }
}

/** What fails before anything is asked is said to; but for the caller's reason to end it, and refusals. */
async function whileConnecting<T> (connecting: Promise<T>, signal?: AbortSignal): Promise<T> {
  try {
    return await connecting
  } catch (error) {
    signal?.throwIfAborted()
    throw error instanceof AttemptFault || isRefusal(error) ? error : new AttemptFault(error, 'connecting')
  }
}

/** A statement that writes through a function says so by `repeatable: false`. */
const isRead = (statement: Statement): boolean => /^\s*SELECT\b[^;]*$/i.test(typeof statement === 'string' ? statement : statement.text)
