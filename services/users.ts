import SQL from '@nearform/sql'
import type { User, UserChanges } from '../schemas/users.js'
import type { Call, DatabaseAccess } from './database.js'
import type { EventRecorder } from './events/event.js'
import { NotFoundError } from './errors.js'
import type { Permit } from './preconditions.js'

/** Users, in PostgreSQL. */
export class UserService {
  readonly #database: DatabaseAccess
  readonly #events: EventRecorder

  constructor (database: DatabaseAccess, events: EventRecorder) {
    this.#database = database
    this.#events = events
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits. */
  within (call: Call): UserService {
    return new UserService(this.#database.within(call), this.#events)
  }

  /** @throws NotFoundError */
  async get (id: number): Promise<User> {
    const { rows: [user] } = await this.#database.query<User>(SQL`SELECT id, name FROM users WHERE id = ${id}::bigint`)
    return user ?? absent(id)
  }

  /** @throws NotFoundError · what `permit` throws */
  async update (id: number, { name }: UserChanges, permit?: Permit<User>): Promise<User> {
    return await this.#database.transaction(async (transaction) => {
      if (permit !== undefined) {
        const { rows: [locked] } = await transaction.query<User>(SQL`SELECT id, name FROM users WHERE id = ${id}::bigint FOR UPDATE`)
        permit(locked ?? absent(id))
      }
      const { rows: [user] } = await transaction.query<User>(SQL`UPDATE users SET name = ${name} WHERE id = ${id}::bigint RETURNING id, name`)
      if (user === undefined) return absent(id)
      await this.#events.record(transaction, { type: 'user.updated', subject: `users/${id}`, data: user })
      return user
    })
  }
}

function absent (id: number): never {
  throw new NotFoundError(`There is no user ${id}.`)
}
