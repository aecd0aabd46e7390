import type { Subscription } from '../follower.js'
import type { NotifyingConnection, Queries, Statement } from './connections.js'

/** Statements without an answer after which a connection is given up: its network may be gone without a word. */
const GIVE_UP_AFTER = 4

/** The announcements on a channel, over one connection that is opened anew whenever it is lost. */
export class Notifications implements Subscription, Queries {
  #connect: () => Promise<NotifyingConnection>
  #channel: string
  #connection: NotifyingConnection | undefined
  #connecting: Promise<void> | undefined
  #unanswered = 0
  #isClosed = false
  #hear = (_message: string): void => {}
  #lost = (): void => {}

  constructor (connect: () => Promise<NotifyingConnection>, channel: string) {
    this.#connect = connect
    this.#channel = channel
  }

  listen (hear: (message: string) => void, lost: () => void): void {
    this.#hear = hear
    this.#lost = lost
  }

  async prove (): Promise<void> {
    if (this.#connection !== undefined) return
    this.#connecting ??= this.#open().finally(() => { this.#connecting = undefined })
    await this.#connecting
  }

  /** Over this connection alone, so that its answer proves it. */
  async query (statement: Statement): Promise<{ rows: unknown[] }> {
    const connection = this.#connection
    if (connection === undefined) throw new Error('The connection is lost')
    if (this.#unanswered++ >= GIVE_UP_AFTER) this.#drop(connection)
    const answer = await connection.query(statement)
    this.#unanswered = 0
    return answer
  }

  close (): void {
    this.#isClosed = true
    this.#connection?.close()
    this.#connection = undefined
  }

  async #open (): Promise<void> {
    const connection = await this.#connect()
    if (this.#isClosed) {
      connection.close()
      return
    }
    connection.onLost(() => { this.#drop(connection) })
    connection.onNotification((payload) => { if (this.#connection === connection) this.#hear(payload) })
    this.#unanswered = 0
    this.#connection = connection
    try {
      await connection.listen(this.#channel)
    } catch (error) {
      this.#drop(connection)
      throw error
    }
  }

  #drop (connection: NotifyingConnection): void {
    connection.close()
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#lost()
  }
}
