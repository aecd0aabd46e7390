import { EventEmitter } from 'node:events'
import type { PGlite, Results } from '@electric-sql/pglite'
import type pg from 'pg'

type Callback<T> = (error: Error | undefined, result?: T) => void
type Done = (error?: Error | boolean) => void
type Row = Record<string, unknown>
interface Result { command: string, rowCount: number | null, rows: Row[], fields: { name: string, dataTypeID: number }[] }
interface Query { text: string, values?: readonly unknown[] | undefined, rowMode?: 'array' | undefined }

/** Milliseconds that a caller waits for the one connection: a transaction that waits for itself ends so, not never. */
const PATIENCE = 5_000

/**
 * A pool in `pg`'s manner over PGlite, which is one connection: clients get it in turn, and a transaction has it for as long
 * as its client is not released. What `@fastify/postgres` and this service use of `pg` works the same; cursors and
 * notifications do not exist.
 */
export class EmbeddedPool extends EventEmitter {
  readonly #db: PGlite
  readonly #close: () => Promise<void>
  #busy = false
  #ended: Promise<void> | undefined
  readonly #waiting: { proceed: () => void, refuse: (error: Error) => void, patience: NodeJS.Timeout }[] = []

  constructor (db: PGlite, close: () => Promise<void> = () => db.close()) {
    super()
    this.#db = db
    this.#close = close
  }

  get totalCount (): number { return 1 }
  get idleCount (): number { return this.#busy ? 0 : 1 }
  get waitingCount (): number { return this.#waiting.length }
  get ended (): boolean { return this.#ended !== undefined }

  connect (): Promise<EmbeddedClient>
  connect (callback: (error: Error | undefined, client?: EmbeddedClient, done?: Done) => void): void
  connect (callback?: (error: Error | undefined, client?: EmbeddedClient, done?: Done) => void): Promise<EmbeddedClient> | undefined {
    const connecting = this.#acquire().then(() => new EmbeddedClient(this.#db, () => { this.#pass() }))
    if (callback === undefined) return connecting
    connecting.then((client) => { callback(undefined, client, (error) => { client.release(error) }) }, (error: Error) => { callback(error, undefined, () => {}) })
    return undefined
  }

  query (text: string | Query, values?: unknown, callback?: Callback<Result>): Promise<Result> | undefined {
    const [query, done] = argumentsOf(text, values, callback)
    return settle(this.connect().then(async (client) => {
      try {
        return await client.run(query)
      } finally {
        client.release()
      }
    }), done)
  }

  /** Waits for whoever has the connection (as long as anyone waits for it), then closes the database. */
  end (callback?: (error?: Error) => void): Promise<void> | undefined {
    this.#ended ??= this.#acquire().catch(() => {}).then(() => this.#close())
    if (callback === undefined) return this.#ended
    this.#ended.then(() => { callback() }, callback)
    return undefined
  }

  async #acquire (): Promise<void> {
    if (this.#ended !== undefined) throw new Error('Cannot use a pool after calling end on the pool')
    if (!this.#busy) {
      this.#busy = true
      return
    }
    await new Promise<void>((resolve, reject) => {
      const refuse = (error: Error): void => {
        this.#waiting.splice(this.#waiting.findIndex((waiter) => waiter.refuse === refuse), 1)
        reject(error)
      }
      const patience = setTimeout(() => { refuse(new Error('timeout exceeded when trying to connect')) }, PATIENCE)
      this.#waiting.push({ proceed: resolve, refuse, patience })
    })
  }

  #pass (): void {
    const next = this.#waiting.shift()
    if (next === undefined) {
      this.#busy = false
      return
    }
    clearTimeout(next.patience)
    next.proceed()
  }
}

/** The connection, in the hands of one caller until `release`. */
export class EmbeddedClient extends EventEmitter {
  readonly #db: PGlite
  readonly #giveBack: () => void
  #released = false
  /** Statements of one client run in the order in which they were given, as `pg` does it. */
  #last: Promise<unknown> = Promise.resolve()

  constructor (db: PGlite, giveBack: () => void) {
    super()
    this.#db = db
    this.#giveBack = giveBack
  }

  query (text: string | Query, values?: unknown, callback?: Callback<Result>): Promise<Result> | undefined {
    const [query, done] = argumentsOf(text, values, callback)
    return settle(this.run(query), done)
  }

  async run (query: Query): Promise<Result> {
    if (this.#released) throw new Error('Client was closed and is not queryable')
    const running = this.#last.then(() => execute(this.#db, query))
    this.#last = running.catch(() => {})
    return await running
  }

  /** Gives the connection back. A transaction left open is rolled back, since the next caller would be inside it. */
  release (_error?: Error | boolean): void {
    if (this.#released) throw new Error('Release called on client which has already been released to the pool.')
    this.#released = true
    this.#last
      .then(async () => { if (this.#db.isInTransaction()) await this.#db.exec('ROLLBACK') })
      .catch(() => {})
      .finally(this.#giveBack)
  }
}

/** What `@fastify/postgres` takes in place of the `pg` module. */
export function embeddedPg (db: PGlite, close?: () => Promise<void>): typeof pg {
  class Pool extends EmbeddedPool {
    constructor () { super(db, close) }
  }
  return { Pool, Client: EmbeddedClient } as unknown as typeof pg
}

async function execute (db: PGlite, { text, values, rowMode }: Query): Promise<Result> {
  try {
    // As in `pg`: only a statement without parameters may in truth be several.
    if (values !== undefined && values.length > 0) {
      return resultOf(await db.query<Row>(text, values.map(textOf), rowMode && { rowMode }))
    }
    const results = await db.exec(text, rowMode && { rowMode }) as Results<Row>[]
    return results.length === 1 && results[0] ? resultOf(results[0]) : results.map(resultOf) as unknown as Result
  } catch (error) {
    // The statement and its values stay out of logs.
    if (error instanceof Error) for (const name of ['query', 'params', 'queryOptions']) delete (error as unknown as Row)[name]
    throw error
  }
}

function resultOf ({ rows, fields, command = '', rowCount }: Results<Row> & { command?: string, rowCount?: number }): Result {
  return { command, rowCount: rowCount ?? null, rows, fields }
}

/** A parameter as PostgreSQL reads it. PGlite miscounts the bytes of half a surrogate pair; `pg` sends U+FFFD for one. */
function textOf (value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  if (ArrayBuffer.isView(value)) return `\\x${Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('hex')}`
  if (Array.isArray(value)) return arrayText(value)
  const text = typeof value === 'object' ? JSON.stringify(value) : (value as string | number | boolean | bigint).toString()
  return text.replace(/\p{Surrogate}/gu, '\uFFFD')
}

function arrayText (values: readonly unknown[]): string {
  return `{${values.map((value) => {
    if (Array.isArray(value)) return arrayText(value)
    const text = textOf(value)
    return text === null ? 'NULL' : `"${text.replace(/["\\]/g, '\\$&')}"`
  }).join(',')}}`
}

function argumentsOf (text: string | Query, values: unknown, callback: Callback<Result> | undefined): [Query, Callback<Result> | undefined] {
  const done = typeof values === 'function' ? values as Callback<Result> : callback
  const given = Array.isArray(values) ? values as unknown[] : undefined
  // Read out by name: `text` and `values` of an SQL template are getters of its class.
  return [typeof text === 'string' ? { text, values: given } : { text: text.text, values: text.values ?? given, rowMode: text.rowMode }, done]
}

function settle<T> (promise: Promise<T>, callback: Callback<T> | undefined): Promise<T> | undefined {
  if (callback === undefined) return promise
  promise.then((result) => { callback(undefined, result) }, callback)
  return undefined
}
