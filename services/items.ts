import SQL from '@nearform/sql'
import type { Item, ItemChanges, ItemListReply, NewItem } from '../schemas/items.js'
import type { Call, DatabaseAccess, Queryable } from './database.js'
import type { EventRecorder } from './events/event.js'
import { invalidField, NotFoundError, UnsupportedHereError } from './errors.js'
import type { Recording } from './idempotency/recording.js'
import type { Permit } from './preconditions.js'
import { MAX_PAGE, nextPage, positionOf, type PageRequest } from './page.js'
import { isUuid } from './uuid.js'
import { toJsonText } from './values.js'

/** What `list` answers: the members of a reply that are data. */
export type ItemList = Omit<ItemListReply, 'cached'>

/** Bytes of JSON that an item may grow to by updates. One request cannot carry more either. */
const MAX_SIZE = 1024 * 1024
/** Bytes of items after which a page ends before its limit. */
const PAGE_SIZE = 8 * MAX_SIZE

/** The id that a text means: a UUID in small letters. What is no UUID is the id of no item. @throws NotFoundError */
export function itemId (text: string): string {
  if (!isUuid(text)) throw absent()
  return text.toLowerCase()
}

/** Items: JSON objects of any fields, in PostgreSQL. They come back as they were sent. */
export class ItemService {
  readonly #database: DatabaseAccess
  readonly #events: EventRecorder

  constructor (database: DatabaseAccess, events: EventRecorder) {
    this.#database = database
    this.#events = events
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits. */
  within (call: Call): ItemService {
    return new ItemService(this.#database.within(call), this.#events)
  }

  /** In the order of creation. A page also ends where the items on it become too many bytes for one answer. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest = {}): Promise<ItemList> {
    const { rows } = await this.#database.query<{ id: string, body: string, position: string, found: string }>(SQL`
      SELECT id, body, position, found FROM (
        SELECT id, body, position, count(*) OVER () AS found,
          sum(octet_length(body)) OVER (ORDER BY position) - octet_length(body) AS bytes_before
        FROM (SELECT id, body, position FROM items WHERE position > ${positionOf(cursor)} ORDER BY position LIMIT ${limit + 1}) AS next
      ) AS measured
      WHERE bytes_before < ${PAGE_SIZE} ORDER BY position`)
    const page = rows.slice(0, limit)
    const last = page.at(-1)
    return { items: page.map(itemOf), ...nextPage(Number(last?.found ?? 0) > page.length ? last?.position : undefined) }
  }

  /** @throws NotFoundError */
  async get (id: string): Promise<Item> {
    const { rows: [row] } = await this.#database.query<Row>(SQL`SELECT id, body FROM items WHERE id = ${id}`)
    if (row === undefined) throw absent()
    return itemOf(row)
  }

  /** @throws InvalidInputError when the fields have an `id` of their own, or hold a number that JSON text cannot carry (1e400) */
  async create (id: string, fields: NewItem, recording?: Recording<Item>): Promise<Item> {
    if (Object.hasOwn(fields, 'id')) throw invalidField('id', 'is given by the service: leave it out of a new item.')
    const item = { id, ...fields }
    await this.#database.transaction(async (transaction) => {
      await transaction.query(SQL`INSERT INTO items (id, body) VALUES (${id}, ${toJsonText(fields, 'The item')})`)
      await this.#events.record(transaction, { type: 'item.created', subject: `items/${id}`, data: item })
      await recording?.(transaction, item)
    })
    return item
  }

  /** Sets the fields given; the others stay. An `id` among them must be the item's. @throws NotFoundError · InvalidInputError · UnsupportedHereError · what `permit` throws */
  async update (id: string, { id: given = id, ...changes }: ItemChanges, permit?: Permit<Item>): Promise<Item> {
    if (given !== id && (typeof given !== 'string' || given.toLowerCase() !== id)) throw invalidField('id', 'must be the one in the path, or left out.')
    return await this.#database.transaction(async (transaction) => {
      const row = await locked(transaction, id)
      permit?.(itemOf(row))
      const fields = { ...fieldsOf(row), ...changes }
      const body = toJsonText(fields, 'The item')
      if (Buffer.byteLength(body) > MAX_SIZE) {
        throw new UnsupportedHereError(`With these fields the item would have more than ${MAX_SIZE} bytes: set fewer or shorter ones.`)
      }
      await transaction.query(SQL`UPDATE items SET body = ${body}, updated_at = now() WHERE id = ${row.id}`)
      const item = { id: row.id, ...fields }
      await this.#events.record(transaction, { type: 'item.updated', subject: `items/${id}`, data: item })
      return item
    })
  }

  /** @throws NotFoundError · what `permit` throws */
  async delete (id: string, permit?: Permit<Item>): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      permit?.(itemOf(await locked(transaction, id)))
      const { rowCount } = await transaction.query(SQL`DELETE FROM items WHERE id = ${id}`)
      if (rowCount === 0) throw absent()
      await this.#events.record(transaction, { type: 'item.deleted', subject: `items/${id}`, data: { id } })
    })
  }
}

interface Row { id: string, body: string }

/** Nobody else changes it until the transaction ends. */
async function locked (transaction: Queryable, id: string): Promise<Row> {
  const { rows: [row] } = await transaction.query<Row>(SQL`SELECT id, body FROM items WHERE id = ${id} FOR UPDATE`)
  if (row === undefined) throw absent()
  return row
}

const fieldsOf = ({ body }: Row): NewItem => JSON.parse(body) as NewItem
const itemOf = (row: Row): Item => ({ id: row.id, ...fieldsOf(row) })

const absent = () => new NotFoundError('There is no item with this id: GET /items lists those there are.')
