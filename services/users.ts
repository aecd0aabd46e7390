import SQL from '@nearform/sql'
import type { User, UserChanges } from '../schemas/users.js'
import type { Queryable } from './database.js'
import { NotFoundError } from './errors.js'

/** Users, in PostgreSQL. */
export class UserService {
  readonly #database: Queryable

  constructor (database: Queryable) {
    this.#database = database
  }

  /** @throws NotFoundError */
  async get (id: number): Promise<User> {
    const { rows: [user] } = await this.#database.query<User>(SQL`SELECT id, name FROM users WHERE id = ${id}::bigint`)
    return user ?? absent(id)
  }

  /** @throws NotFoundError */
  async update (id: number, { name }: UserChanges): Promise<User> {
    const { rows: [user] } = await this.#database.query<User>(SQL`UPDATE users SET name = ${name} WHERE id = ${id}::bigint RETURNING id, name`)
    return user ?? absent(id)
  }
}

function absent (id: number): never {
  throw new NotFoundError(`There is no user ${id}.`)
}
