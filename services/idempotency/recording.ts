import type { Queryable } from '../database.js'

/**
 * What a service calls at the end of the transaction that makes a change, with what it results in, so that the record of the request
 * commits together with its effect, or neither does. It throws when the request has been taken over, so that nothing is changed.
 */
export type Recording<T> = (transaction: Queryable, result: T) => Promise<void>

/** An answer that can be given again. */
export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}
