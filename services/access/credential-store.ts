import { setTimeout as sleep } from 'node:timers/promises'
import type { Call, Database, Queryable } from '../database.js'
import { UnavailableError } from '../errors.js'

/**
 * Reads what has changed since the revision `since` (0: everything), and answers how to put it in force, which must not fail. All
 * that was read takes effect together, or none of it.
 */
export type CredentialLoader = (database: Queryable, since: number) => Promise<() => void>

export interface CredentialStoreOptions {
  database: Pick<Database, 'query' | 'transaction'>
  /** Whether other processes may change it too. */
  shared: boolean
  /** Tells the other processes to look at once. It may fail: they look anyway. */
  announce?: () => Promise<unknown>
  /** Milliseconds between looks for other processes' changes. Default 250. */
  pollInterval?: number
  /** Milliseconds after which what was read last is trusted no more. Default 5000. */
  bound?: number
  /** Milliseconds, never going back. */
  now?: () => number
  log: { warn (detail: object, message: string): void, info (message: string): void }
}

/** Milliseconds that a request waits for a look at the database. */
const PATIENCE = 500

interface Follower { loader: CredentialLoader, since: number }

/**
 * Everything that credentials are checked against, read from PostgreSQL into memory: API keys, valet keys that are revoked, signing
 * keys. Each is loaded by a loader of its own; all of them go by one revision, which rises in the transaction of every change.
 * While the database is away the last state holds, until it is older than the bound; then whoever asks has to refuse.
 */
export class CredentialStore {
  readonly #options: Required<Omit<CredentialStoreOptions, 'announce'>> & Pick<CredentialStoreOptions, 'announce'>
  readonly #followers: Follower[] = []
  readonly #listeners = new Set<() => void>()
  #epoch = 0
  #revision = 0
  /** When the read began that the state in force is of. */
  #readAt = -Infinity
  #failed = false
  #closed = false
  #timer: NodeJS.Timeout | undefined
  #last: Promise<void> = Promise.resolve()
  #next: Promise<void> | undefined

  constructor (options: CredentialStoreOptions) {
    this.#options = { pollInterval: 250, bound: 5000, now: () => performance.now(), ...options }
  }

  /** Rises with every change in force here: what was concluded in another epoch has to be concluded anew. */
  get epoch (): number {
    return this.#epoch
  }

  /** The last change in force here, counted over all processes. */
  get revision (): number {
    return this.#revision
  }

  /** Whether what is in force here was true at most `bound` ago. */
  get isCurrent (): boolean {
    const { shared, now, bound } = this.#options
    // Without other processes nothing changes behind our back.
    return (!shared && !this.#failed) || now() - this.#readAt <= bound
  }

  /** @throws UnavailableError when nothing can be said about credentials that are stored */
  check (): void {
    if (this.isCurrent) return
    throw Object.assign(new UnavailableError('Credentials cannot be checked while the database is away: try again in a moment.'), { retryAfter: 1 })
  }

  /**
   * Looks again where what is in force here is too old, and resolves once it is not: a process that stood still for some seconds has only
   * not looked for as long.
   * @throws UnavailableError when that look fails, or takes long
   */
  async ensureCurrent (): Promise<void> {
    if (!this.isCurrent && !this.#failed) {
      const patience = new AbortController()
      // Whatever became of it, `check` below tells.
      await Promise.race([this.refresh(), sleep(PATIENCE, undefined, { signal: patience.signal })]).catch(() => {})
      patience.abort()
    }
    this.check()
  }

  /** Adds a loader and resolves once it has loaded everything. */
  async follow (loader: CredentialLoader): Promise<void> {
    this.#followers.push({ loader, since: -1 })
    await this.refresh()
  }

  /** Calls `listener` after each change that is in force here. Answers how to stop it. */
  on (listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /**
   * Changes credentials: `work` runs in a transaction that no other such change overlaps, with the revision that the change has.
   * Resolves when the change is in force here; where it was committed and cannot be read back, nothing that is stored is
   * trusted here until it can.
   */
  async change<T> (work: (transaction: Queryable, revision: number) => Promise<T>, call: Call = {}): Promise<T> {
    let result: T
    try {
      result = await this.#options.database.transaction(async (transaction) => {
        const { rows: [row] } = await transaction.query<Row>('UPDATE credentials_revision SET revision = revision + 1 RETURNING revision')
        return await work(transaction, Number(row?.revision))
      }, call)
    } catch (error) {
      // A commit whose answer was lost may have happened.
      this.wake()
      throw error
    }
    await this.refresh().catch(() => { this.#readAt = -Infinity })
    this.#options.announce?.().catch(() => {}) // a hint: the others find it by themselves within the interval
    return result
  }

  /** Looks now instead of at the end of the interval. */
  wake (): void {
    if (!this.#closed) this.refresh().catch(() => {}) // said in the log; the next look comes by itself
  }

  /** Puts in force what has changed. Who asks while that is under way waits for another round: the one under way may have begun before the change. */
  refresh (): Promise<void> {
    if (this.#next !== undefined) return this.#next
    const next = this.#last.then(async () => {
      this.#next = undefined
      await this.#read()
    })
    this.#next = next
    this.#last = next.catch(() => {}) // whoever asked for it is told; the next one only comes after it
    return next
  }

  async close (): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    this.#listeners.clear()
    await this.#last
  }

  async #read (): Promise<void> {
    if (this.#closed) return
    clearTimeout(this.#timer)
    const { database, now, log } = this.#options
    const begun = now()
    try {
      const { rows: [row] } = await database.query<Row>('SELECT revision FROM credentials_revision')
      const revision = Number(row?.revision)
      const behind = this.#followers.filter(({ since }) => since !== revision)
      // A revision that has gone back is of another database: what was read of the one before is worth nothing.
      const effects = await Promise.all(behind.map(({ loader, since }) => loader(database, since > revision ? 0 : Math.max(since, 0))))
      for (const effect of effects) effect()
      for (const follower of behind) follower.since = revision
      this.#revision = revision
      this.#readAt = begun
      if (this.#failed) log.info('The credentials can be read again')
      this.#failed = false
      if (behind.length > 0) this.#announce()
    } catch (error) {
      if (!this.#failed) log.warn({ err: error }, 'The credentials cannot be read: the last ones hold for a few seconds')
      this.#failed = true
      throw error
    } finally {
      this.#schedule()
    }
  }

  #announce (): void {
    this.#epoch++
    for (const listener of this.#listeners) {
      try {
        listener()
      } catch (error) {
        this.#options.log.warn({ err: error }, 'A change of credentials was not heard')
      }
    }
  }

  #schedule (): void {
    if (this.#closed || (!this.#options.shared && !this.#failed)) return
    this.#timer = setTimeout(() => { this.wake() }, this.#options.pollInterval).unref()
  }
}

interface Row { revision: string }
