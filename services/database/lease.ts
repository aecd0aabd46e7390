import type { PoolClient } from 'pg'

/** A connection in the hands of one attempt, with its place in the queue for connections. */
export class Lease {
  readonly client: PoolClient
  /** When the attempt has to be over, on the clock of `performance`. */
  readonly until: number
  /** Nobody else is to get the connection. */
  isBroken = false
  readonly #leave: () => void
  #isOver = false

  constructor (client: PoolClient, until: number, leave: () => void) {
    this.client = client
    this.until = until
    this.#leave = leave
  }

  /** Gives both back. Again is no matter. */
  end (): void {
    if (this.#isOver) return
    this.#isOver = true
    this.client.release(this.isBroken)
    this.#leave()
  }
}
