import createError from '@fastify/error'
import SQL from '@nearform/sql'
import type { NewRecipe, NewRecipeItem, Recipe, RecipeChanges, RecipeListReply } from '../schemas/recipes.js'
import type { Call, DatabaseAccess, Queryable } from './database.js'
import { ConflictError, invalidField, NotFoundError } from './errors.js'
import type { EventRecorder } from './events/event.js'
import type { Recording } from './idempotency/recording.js'
import type { Permit } from './preconditions.js'
import { MAX_PAGE, pageOf, positionOf, type PageRequest } from './page.js'
import { productOf, type ProductRow } from './products.js'

/** A recipe names products that there are not. */
export const UnknownProductError = createError<[why: string]>('ERR_UNKNOWN_PRODUCT', '%s', 422)

/** What `list` answers: the members of a reply that are data. */
export type RecipeList = Pick<RecipeListReply, 'recipes' | 'next_cursor'>

/** Recipes and the products in them, in PostgreSQL. Every change is one transaction: a recipe is stored with all its items, or not at all. */
export class RecipeService {
  readonly #database: DatabaseAccess
  readonly #events: EventRecorder

  constructor (database: DatabaseAccess, events: EventRecorder) {
    this.#database = database
    this.#events = events
  }

  /** The same on behalf of a caller, whose going away or whose deadline ends waits. */
  within (call: Call): RecipeService {
    return new RecipeService(this.#database.within(call), this.#events)
  }

  /** In the order of their ids. */
  async list ({ limit = MAX_PAGE, cursor }: PageRequest = {}): Promise<RecipeList> {
    const { rows } = await this.#database.query<RecipeRow>(SQL`SELECT * FROM recipes WHERE id > ${positionOf(cursor)}::bigint ORDER BY id LIMIT ${limit + 1}`)
    const page = pageOf(rows, limit, ({ id }) => id)
    return { recipes: await withItems(this.#database, page.rows), ...page.next }
  }

  /** @throws NotFoundError */
  async get (id: number): Promise<Recipe> {
    return await read(this.#database, id)
  }

  /** @throws InvalidInputError · UnknownProductError */
  async create ({ title, instructions = null, items = [] }: NewRecipe, recording?: Recording<Recipe>): Promise<Recipe> {
    check(items)
    return await this.#database.transaction(async (transaction) => {
      const { rows: [row] } = await transaction.query<{ id: number }>(SQL`
        INSERT INTO recipes (title, instructions) VALUES (${title}, ${instructions}) RETURNING id`)
      const { id } = row as { id: number }
      await addItems(transaction, id, items)
      return await this.#recorded(transaction, 'created', id, recording)
    })
  }

  /** Sets the fields given; the others stay. @throws NotFoundError · InvalidInputError · UnknownProductError */
  async update (id: number, { title, instructions, items }: RecipeChanges, permit?: Permit<Recipe>): Promise<Recipe> {
    if (items !== undefined) check(items)
    return await this.#database.transaction(async (transaction) => {
      await touch(transaction, id, permit)
      if (title !== undefined) await transaction.query(SQL`UPDATE recipes SET title = ${title} WHERE id = ${id}::bigint`)
      if (instructions !== undefined) await transaction.query(SQL`UPDATE recipes SET instructions = ${instructions} WHERE id = ${id}::bigint`)
      if (items !== undefined) {
        await transaction.query(SQL`DELETE FROM recipe_items WHERE recipe_id = ${id}::bigint`)
        await addItems(transaction, id, items)
      }
      return await this.#recorded(transaction, 'updated', id)
    })
  }

  /** @throws NotFoundError */
  async delete (id: number, permit?: Permit<Recipe>): Promise<void> {
    await this.#database.transaction(async (transaction) => {
      await look(transaction, id, permit)
      const { rows } = await transaction.query(SQL`DELETE FROM recipes WHERE id = ${id}::bigint RETURNING id`)
      if (rows.length === 0) throw unknownRecipe(id)
      await this.#events.record(transaction, { type: 'recipe.deleted', subject: `recipes/${id}`, data: { id } })
    })
  }

  /** @throws NotFoundError · InvalidInputError · UnknownProductError · ConflictError where the recipe has the product already */
  async addProduct (id: number, item: NewRecipeItem, recording?: Recording<Recipe>, permit?: Permit<Recipe>): Promise<Recipe> {
    check([item])
    return await this.#database.transaction(async (transaction) => {
      await touch(transaction, id, permit)
      const { rows } = await transaction.query(SQL`SELECT FROM recipe_items WHERE recipe_id = ${id}::bigint AND product_id = ${item.product_id}`)
      if (rows.length > 0) throw new ConflictError(`Recipe ${id} has product ${item.product_id} already: take it out first, or set \`items\` as a whole.`)
      await addItems(transaction, id, [item])
      return await this.#recorded(transaction, 'updated', id, recording)
    })
  }

  /** @throws NotFoundError */
  async removeProduct (id: number, productId: number, permit?: Permit<Recipe>): Promise<Recipe> {
    return await this.#database.transaction(async (transaction) => {
      await touch(transaction, id, permit)
      const { rows } = await transaction.query(SQL`
        DELETE FROM recipe_items WHERE recipe_id = ${id}::bigint AND product_id = ${productId} RETURNING product_id`)
      if (rows.length === 0) throw new NotFoundError(`Recipe ${id} has no product ${productId}: GET /recipes/${id} shows those it has.`)
      return await this.#recorded(transaction, 'updated', id)
    })
  }

  async #recorded (transaction: Queryable, what: string, id: number, recording?: Recording<Recipe>): Promise<Recipe> {
    const recipe = await read(transaction, id)
    await this.#events.record(transaction, { type: `recipe.${what}`, subject: `recipes/${id}`, data: recipe })
    await recording?.(transaction, recipe)
    return recipe
  }
}

/** As PostgreSQL gives it. */
type RecipeRow = Pick<Recipe, 'id' | 'title' | 'instructions'> & { created_at: Date, updated_at: Date }
type ItemRow = ProductRow & { recipe_id: number, quantity: string }

async function read (database: Queryable, id: number): Promise<Recipe> {
  const { rows } = await database.query<RecipeRow>(SQL`SELECT * FROM recipes WHERE id = ${id}::bigint`)
  const [recipe] = await withItems(database, rows)
  if (recipe === undefined) throw unknownRecipe(id)
  return recipe
}

/** The items of all the recipes in one statement. */
async function withItems (database: Queryable, recipes: RecipeRow[]): Promise<Recipe[]> {
  if (recipes.length === 0) return []
  const { rows } = await database.query<ItemRow>(SQL`
    SELECT products.*, item.recipe_id, item.quantity FROM recipe_items item JOIN products ON products.id = item.product_id
    WHERE item.recipe_id = ANY (${recipes.map(({ id }) => id)}::int[]) ORDER BY item.position`)
  const items = new Map<number, Recipe['items']>(recipes.map(({ id }) => [id, []]))
  for (const { recipe_id: recipeId, quantity, ...product } of rows) {
    items.get(recipeId)?.push({ product_id: product.id, quantity: Number(quantity), product: productOf(product) })
  }
  return recipes.map(({ id, title, instructions, created_at: createdAt, updated_at: updatedAt }) => ({
    id, title, instructions, items: items.get(id) as Recipe['items'], created_at: createdAt.toISOString(), updated_at: updatedAt.toISOString()
  }))
}

/** Shows a recipe as it is, and is not changed by others any more before this transaction ends. What is told of its products is theirs. */
async function look (transaction: Queryable, id: number, permit: Permit<Recipe> | undefined): Promise<void> {
  if (permit === undefined) return
  await transaction.query(SQL`SELECT FROM recipes WHERE id = ${id}::bigint FOR UPDATE`)
  permit(await read(transaction, id))
}

/** Changes of one recipe wait for each other from here on. */
async function touch (transaction: Queryable, id: number, permit?: Permit<Recipe>): Promise<void> {
  await look(transaction, id, permit)
  const { rows } = await transaction.query(SQL`UPDATE recipes SET updated_at = now() WHERE id = ${id}::bigint RETURNING id`)
  if (rows.length === 0) throw unknownRecipe(id)
}

async function addItems (transaction: Queryable, id: number, items: readonly NewRecipeItem[]): Promise<void> {
  if (items.length === 0) return
  const wanted = items.map(({ product_id: product }) => product)
  // Locked, so that none of them goes before the items stand.
  const { rows } = await transaction.query<{ id: number }>(SQL`SELECT id FROM products WHERE id = ANY (${wanted}::int[]) FOR KEY SHARE`)
  const known = new Set(rows.map((row) => row.id))
  const unknown = wanted.filter((product) => !known.has(product))
  if (unknown.length > 0) {
    throw new UnknownProductError(`There is no product ${unknown.join(', ')}: GET /products lists those there are. Nothing was stored.`)
  }
  await transaction.query(SQL`
    INSERT INTO recipe_items (recipe_id, product_id, quantity)
    SELECT ${id}::int, product, quantity FROM unnest(${wanted}::int[], ${items.map(({ quantity }) => decimalOf(quantity))}::numeric[])
      WITH ORDINALITY AS given (product, quantity, place) ORDER BY place`)
}

function check (items: readonly NewRecipeItem[]): void {
  if (new Set(items.map(({ product_id: product }) => product)).size < items.length) throw invalidField('items', 'must name each product once.')
  for (const { quantity } of items) decimalOf(quantity)
}

function decimalOf (quantity: number): string {
  const digits = String(quantity)
  if (!/^\d+(\.\d{1,3})?$/.test(digits)) throw invalidField('quantity', 'must have at most three decimals.')
  return digits
}

function unknownRecipe (id: number): Error {
  return new NotFoundError(`There is no recipe ${id}: GET /recipes lists those there are.`)
}
