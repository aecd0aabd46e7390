import SQL from '@nearform/sql'
import type { NewProduct, Product, ProductChanges, ProductListReply } from '../schemas/products.js'
import type { Call, DatabaseAccess, Queryable } from './database.js'
import { ConflictError, invalidField, NotFoundError } from './errors.js'
import type { EventRecorder } from './events/event.js'
import type { Recording } from './idempotency/recording.js'
import type { Permit } from './preconditions.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from './page.js'

/** What `list` answers: the members of a reply that are data. */
export type ProductList = Pick<ProductListReply, 'products' | 'next_cursor'>

const CHANGEABLE = ['name', 'description', 'unit', 'price', 'category', 'stock_quantity'] as const satisfies (keyof ProductChanges)[]

/** Products, in PostgreSQL. Prices are exact: numeric there, and a number of at most two decimals here. */
export class ProductService {
  readonly #database: DatabaseAccess
  readonly #events: EventRecorder

  constructor (database: DatabaseAccess, events: EventRecorder) {
    this.#database = database
    this.#events = events
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits. */
  within (call: Call): ProductService {
    return new ProductService(this.#database.within(call), this.#events)
  }

  /** In the order of their ids. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest = {}): Promise<ProductList> {
    const { rows } = await this.#database.query<ProductRow>(SQL`SELECT * FROM products WHERE id > ${positionOf(cursor)}::bigint ORDER BY id LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ id }) => id)
    return { products: page.rows.map(productOf), ...page.next }
  }

  /** @throws NotFoundError */
  async get (id: number): Promise<Product> {
    const { rows } = await this.#database.query<ProductRow>(SQL`SELECT * FROM products WHERE id = ${id}::bigint`)
    return only(rows, id)
  }

  /** @throws InvalidInputError */
  async create (
    { name, description = null, unit = null, price, category, stock_quantity: stock = 0 }: NewProduct, recording?: Recording<Product>
  ): Promise<Product> {
    return await this.#changed('created', async (transaction) => await transaction.query<ProductRow>(SQL`
      INSERT INTO products (name, description, unit, price, category, stock_quantity)
      VALUES (${name}, ${description}, ${unit}, ${decimalOf(price)}, ${category}, ${stock})
      RETURNING *`), { recording })
  }

  /** Sets the fields given; the others stay. @throws NotFoundError · InvalidInputError · what `permit` throws */
  async update (id: number, changes: ProductChanges, permit?: Permit<Product>): Promise<Product> {
    if (changes.price !== undefined) decimalOf(changes.price)
    const assignments = CHANGEABLE.filter((column) => changes[column] !== undefined)
      .map((column) => SQL`${SQL.quoteIdent(column)} = ${changes[column]}, `)
    return await this.#changed('updated', async (transaction) => await transaction.query<ProductRow>(SQL.glue([
      SQL`UPDATE products SET `, ...assignments, SQL`updated_at = now() WHERE id = ${id}::bigint RETURNING *`
    ], '')), { id, permit })
  }

  /** @throws NotFoundError · ConflictError while a recipe uses it · what `permit` throws */
  async delete (id: number, permit?: Permit<Product>): Promise<void> {
    try {
      await this.#changed('deleted', async (transaction) => await transaction.query<ProductRow>(SQL`DELETE FROM products WHERE id = ${id}::bigint RETURNING *`), { id, permit })
    } catch (error) {
      if (!(error instanceof ConflictError)) throw error
      throw Object.assign(new ConflictError(`Recipes use the product ${id}: take it out of them first (DELETE /recipes/:id/products/${id}).`), { cause: error })
    }
  }

  /** Makes a change of one row, and records it. */
  async #changed (
    what: string, change: (transaction: Queryable) => Promise<{ rows: ProductRow[] }>,
    { id = 0, recording, permit }: { id?: number, recording?: Recording<Product> | undefined, permit?: Permit<Product> | undefined }
  ): Promise<Product> {
    return await this.#database.transaction(async (transaction) => {
      if (permit !== undefined) permit(only((await transaction.query<ProductRow>(SQL`SELECT * FROM products WHERE id = ${id}::bigint FOR UPDATE`)).rows, id))
      const product = only((await change(transaction)).rows, id)
      await this.#events.record(transaction, { type: `product.${what}`, subject: `products/${product.id}`, data: product })
      await recording?.(transaction, product)
      return product
    })
  }
}

/** As PostgreSQL gives it: numeric is text. */
export type ProductRow = Omit<Product, 'price' | 'created_at' | 'updated_at'> & { price: string, created_at: Date, updated_at: Date }

function only ([row]: ProductRow[], id: number): Product {
  if (row === undefined) throw new NotFoundError(`There is no product ${id}: GET /products lists those there are.`)
  return productOf(row)
}

/** A row of the table as the API shows it. */
export function productOf ({ price, created_at: createdAt, updated_at: updatedAt, ...fields }: ProductRow): Product {
  return { ...fields, price: Number(price), created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString() }
}

/** The price in decimal digits. What JSON writes as 29.99 is the double nearest to it, which is written as 29.99 again. */
function decimalOf (price: number): string {
  const digits = String(price)
  if (!/^\d+(\.\d{1,2})?$/.test(digits)) throw invalidField('price', 'must have at most two decimals.')
  return digits
}
