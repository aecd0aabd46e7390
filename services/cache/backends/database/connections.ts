import type { Retry } from '../../retry.js'

/** A statement with its values apart; with a name it is parsed once per connection. */
export interface Statement { name: string, text: string, values: unknown[] }

/** Whatever runs statements. int8 comes as text, float8 as a number, bytea as a Buffer, arrays as arrays. */
export interface Queries {
  query (statement: Statement): Promise<{ rows: unknown[] }>
}

/** A connection on which notifications arrive. */
export interface NotifyingConnection extends Queries {
  listen (channel: string): Promise<unknown>
  onNotification (hear: (payload: string) => void): void
  /** Called once the connection is lost. */
  onLost (lost: () => void): void
  /** Closes it, however it is. Never throws. */
  close (): void
}

/** The way to a PostgreSQL. */
export interface Connections {
  /** Each statement runs on any of its connections, as a transaction of its own. */
  pool: Queries
  /** Statements that may run at once; more wait, within their deadline. */
  concurrency: number
  /** Tries statements again that only read, once their connection was lost. Absent: nothing is tried again. */
  retry?: Retry
  /** Opens a connection of its own for notifications. Absent: no other process uses the database. */
  connect?: () => Promise<NotifyingConnection>
}
