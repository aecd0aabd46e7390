import type { Pool, PoolClient, QueryConfig, QueryResult, QueryResultRow } from 'pg'
import { fromDatabase, isConnectionLost } from './database/errors.js'

/** A statement with its values apart: what `@nearform/sql` makes. */
export type Statement = string | QueryConfig<unknown[]>

/** Whatever takes statements: the pool, or one transaction. */
export interface Queryable {
  query<Row extends QueryResultRow = QueryResultRow> (statement: Statement): Promise<QueryResult<Row>>
}

/** The part of a `pg` pool that is used here; the embedded database has one as well. */
export type ConnectionPool = Pick<Pool, 'connect' | 'query'>

/** One database, be it a server or the embedded one. Faults come as the errors of `fromDatabase`. */
export class Database implements Queryable {
  readonly #pool: ConnectionPool

  constructor (pool: ConnectionPool) {
    this.#pool = pool
  }

  async query<Row extends QueryResultRow = QueryResultRow> (statement: Statement): Promise<QueryResult<Row>> {
    try {
      return await this.#pool.query<Row>(statement)
    } catch (error) {
      throw fromDatabase(error)
    }
  }

  /**
   * Runs `work` in one transaction: committed when it returns, rolled back when it throws. Inside, use what it is given and
   * nothing else: the embedded database has one connection, which the transaction holds.
   */
  async transaction<T> (work: (transaction: Queryable) => Promise<T>): Promise<T> {
    const client = await this.#connect()
    let broken: Error | undefined
    const query = async <Row extends QueryResultRow>(statement: Statement): Promise<QueryResult<Row>> => {
      try {
        return await client.query<Row>(statement)
      } catch (error) {
        if (isConnectionLost(error)) broken = error as Error
        throw fromDatabase(error)
      }
    }
    try {
      await query('BEGIN')
      const result = await work({ query })
      const { command } = await query('COMMIT')
      // Somebody swallowed the error of a statement: PostgreSQL answers COMMIT with ROLLBACK then.
      if (command !== 'COMMIT') throw new Error('The transaction had failed before its commit')
      return result
    } catch (error) {
      // A lost connection has taken its transaction along.
      if (broken === undefined) await query('ROLLBACK').catch(() => {})
      throw error
    } finally {
      client.release(broken)
    }
  }

  /** Whether the database answers: rejects with the fault when it does not. */
  async ping (): Promise<void> {
    await this.query('SELECT 1')
  }

  async #connect (): Promise<PoolClient> {
    try {
      return await this.#pool.connect()
    } catch (error) {
      throw fromDatabase(error)
    }
  }
}
