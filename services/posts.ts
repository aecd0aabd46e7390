import SQL from '@nearform/sql'
import type { NewPost, PostListReply } from '../schemas/posts.js'
import type { Call, DatabaseAccess } from './database.js'
import type { EventRecorder } from './events/event.js'
import type { Recording } from './idempotency/recording.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from './page.js'

/** Posts, in PostgreSQL. */
export class PostService {
  readonly #database: DatabaseAccess
  readonly #events: EventRecorder

  constructor (database: DatabaseAccess, events: EventRecorder) {
    this.#database = database
    this.#events = events
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits. */
  within (call: Call): PostService {
    return new PostService(this.#database.within(call), this.#events)
  }

  /** Their titles, in the order of creation. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest = {}): Promise<PostListReply> {
    const { rows } = await this.#database.query<{ id: string, title: string }>(SQL`
      SELECT id, title FROM posts WHERE id > ${positionOf(cursor)}::bigint ORDER BY id LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ id }) => id)
    return { posts: page.rows.map(({ title }) => title), ...page.next }
  }

  /** Answers its id. */
  async create ({ title }: NewPost, recording?: Recording<number>): Promise<number> {
    return await this.#database.transaction(async (transaction) => {
      const { rows: [row] } = await transaction.query<{ id: string }>(SQL`INSERT INTO posts (title) VALUES (${title}) RETURNING id`)
      const id = Number(row?.id)
      await this.#events.record(transaction, { type: 'post.created', subject: `posts/${id}`, data: { id, title } })
      await recording?.(transaction, id)
      return id
    })
  }
}
