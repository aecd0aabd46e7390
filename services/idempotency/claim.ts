import SQL from '@nearform/sql'
import type { Database, Queryable } from '../database.js'
import type { Sealer } from '../access/valet/sealer.js'
import { InProgressError } from './errors.js'
import type { Answer } from './recording.js'

/** Bytes of an answer that are kept. */
export const MAX_ANSWER = 2 * 1024 * 1024

export interface ClaimOptions {
  database: Pick<Database, 'query'>
  id: Buffer
  holder: string
  /** See `KeyedRequest`. */
  isRepeatable: boolean
  /** Milliseconds that it holds for without a word. */
  lease: number
  /** Milliseconds after which it is prolonged no more, whatever has become of the request. */
  ttl: number
  /** Seals the answer; undefined keeps it as it is. */
  sealer: Sealer | undefined
  /** Told when the lease could not be prolonged. */
  onFault: (error: unknown) => void
}

/** The right to carry out one request: a lease, prolonged while the process lives, that whoever comes after its end may take over. */
export class Claim {
  readonly #options: ClaimOptions
  readonly #timer: NodeJS.Timeout
  #recorded: Answer | undefined
  #isLost = false
  #isBegun = false

  constructor (options: ClaimOptions) {
    this.#options = options
    const until = performance.now() + options.ttl
    this.#timer = setInterval(() => {
      if (performance.now() < until) this.#prolong().catch(options.onFault)
      else this.end()
    }, options.lease / 3).unref()
  }

  /** From here on it may have an effect. */
  begin (): void {
    this.#isBegun = true
  }

  /** Gives up a request that failed. Where nothing tells whether it had an effect, and it may have none twice, it is not given up for others. */
  async fail (): Promise<void> {
    if (this.#isBegun && !this.#options.isRepeatable) this.end()
    else await this.release()
  }

  /** The answer that was recorded in a transaction, which has committed if that is what the request is answered with. */
  get recorded (): Answer | undefined {
    return this.#recorded
  }

  /**
   * Records in the transaction of the effect that there is one, with the answer where it is known by then.
   * @throws InProgressError when another has taken the request over, or the effect is there already, as after a commit whose answer was
   * lost: then nothing of the transaction may happen
   */
  async record (transaction: Queryable, answer?: Answer): Promise<void> {
    this.#recorded = undefined
    const kept = answer !== undefined && answer.body.length <= MAX_ANSWER ? answer : undefined
    const { status = null, headers, body } = kept ?? {}
    const { rowCount } = await transaction.query(SQL`
      UPDATE idempotency_keys SET applied = true, status = ${status}::smallint, headers = ${headers === undefined ? null : JSON.stringify(headers)},
        body = ${body === undefined ? null : this.#sealed(body)}::bytea, sealed = ${this.#options.sealer !== undefined}
      WHERE id = ${this.#options.id} AND holder = ${this.#options.holder} AND NOT applied`)
    this.#isLost = rowCount === 0
    if (this.#isLost) throw Object.assign(new InProgressError(), { retryAfter: 1 })
    this.#recorded = answer
  }

  /** Keeps the answer of a request that has recorded none, and ends the lease. One that is too large is not kept, and the request carried out all the same. */
  async settle ({ status, headers, body }: Answer): Promise<void> {
    this.end()
    if (this.#isLost) return
    const isKept = body.length <= MAX_ANSWER
    await this.#options.database.query(SQL`
      UPDATE idempotency_keys SET applied = true, status = ${isKept ? status : null}::smallint, headers = ${JSON.stringify(headers)},
        body = ${isKept ? this.#sealed(body) : null}::bytea, sealed = ${this.#options.sealer !== undefined}
      WHERE id = ${this.#options.id} AND holder = ${this.#options.holder} AND status IS NULL`, { repeatable: true })
  }

  /** Gives the request up, so that it can be carried out anew; one that has had its effect stays as it is. */
  async release (): Promise<void> {
    this.end()
    if (this.#isLost) return
    await this.#options.database.query(SQL`
      DELETE FROM idempotency_keys WHERE id = ${this.#options.id} AND holder = ${this.#options.holder} AND NOT applied`, { repeatable: true })
  }

  /** Prolongs the lease no more. */
  end (): void {
    clearInterval(this.#timer)
  }

  #sealed (body: Buffer): Buffer {
    return this.#options.sealer?.seal(body, boundTo(this.#options.id)) ?? body
  }

  async #prolong (): Promise<void> {
    await this.#options.database.query(SQL`
      UPDATE idempotency_keys SET leased_until = now() + make_interval(secs => ${this.#options.lease / 1000})
      WHERE id = ${this.#options.id} AND holder = ${this.#options.holder} AND status IS NULL`)
  }
}

/** What a sealed answer can only be opened together with. */
export const boundTo = (id: Buffer): string => `answer to the request ${id.toString('hex')}`
