import SQL from '@nearform/sql'
import type { NewPost, PostListReply } from '../schemas/posts.js'
import type { Queryable } from './database.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from './page.js'

/** Posts, in PostgreSQL. */
export class PostService {
  readonly #database: Queryable

  constructor (database: Queryable) {
    this.#database = database
  }

  /** Their titles, in the order of creation. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest = {}): Promise<PostListReply> {
    const { rows } = await this.#database.query<{ id: string, title: string }>(SQL`
      SELECT id, title FROM posts WHERE id > ${positionOf(cursor)}::bigint ORDER BY id LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ id }) => id)
    return { posts: page.rows.map(({ title }) => title), ...page.next }
  }

  async create ({ title }: NewPost): Promise<void> {
    await this.#database.query(SQL`INSERT INTO posts (title) VALUES (${title})`)
  }
}
