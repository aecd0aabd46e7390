import { Type, type Static } from '@sinclair/typebox'
import { responseTime, Source } from './cache-aside.js'
import { nextCursor, ref, timestamp } from './common.js'
import { Product } from './products.js'
import { storedText } from './stored-text.js'

/** numeric(12, 3) */
const MAX_QUANTITY = 999_999_999.999
/** integer, as products are numbered */
const MAX_ID = 2_147_483_647
/** Products that one recipe may have. */
export const MAX_RECIPE_ITEMS = 200

const id = Type.Integer({ minimum: 1, description: 'Given by the service', examples: [1] })
const title = storedText({ minLength: 1, maxLength: 255, examples: ['Focaccia'] })
const instructions = Type.Union([storedText({ maxLength: 20_000 }), Type.Null()], { description: 'Up to 20000 characters' })
const quantity = Type.Number({
  exclusiveMinimum: 0, maximum: MAX_QUANTITY, description: 'In the unit of the product, with at most three decimals, kept exactly', examples: [0.5]
})
const productId = Type.Integer({ minimum: 1, maximum: MAX_ID, description: 'A product that there is', examples: [5] })

const flour = {
  id: 5,
  name: 'Plain Flour',
  description: 'For bread and pastry',
  unit: 'kg',
  price: 1.29,
  category: 'Groceries',
  stock_quantity: 200,
  created_at: '2026-01-31T12:00:00.000Z',
  updated_at: '2026-01-31T12:00:00.000Z'
}
const sample = { title: 'Focaccia', instructions: 'Knead, rest, bake.', items: [{ product_id: 5, quantity: 0.5 }] }
const stored = {
  id: 1, ...sample, items: [{ product_id: 5, quantity: 0.5, product: flour }], created_at: '2026-01-31T12:00:00.000Z', updated_at: '2026-01-31T12:00:00.000Z'
}

export const RecipeItem = Type.Object({ product_id: productId, quantity, product: ref(Product) }, {
  $id: 'RecipeItem', additionalProperties: false, description: 'How much of a product a recipe takes', examples: [stored.items[0]]
})
export type RecipeItem = Static<typeof RecipeItem>

export const Recipe = Type.Object({
  id,
  title,
  instructions,
  items: Type.Array(ref(RecipeItem), { description: 'In the order in which they were given' }),
  created_at: timestamp('When it was created'),
  updated_at: timestamp('When it was last changed')
}, { $id: 'Recipe', additionalProperties: false, description: 'A recipe, with the products that it takes', examples: [stored] })
export type Recipe = Static<typeof Recipe>

export const NewRecipeItem = Type.Object({ product_id: productId, quantity }, {
  $id: 'NewRecipeItem', additionalProperties: false, description: 'How much of which product', examples: sample.items
})
export type NewRecipeItem = Static<typeof NewRecipeItem>

const items = Type.Array(ref(NewRecipeItem), { maxItems: MAX_RECIPE_ITEMS, description: `Each product once, up to ${MAX_RECIPE_ITEMS}` })

export const NewRecipe = Type.Object({ title, instructions: Type.Optional(instructions), items: Type.Optional(items) }, {
  $id: 'NewRecipe', additionalProperties: false, description: 'A recipe to create', examples: [sample]
})
export type NewRecipe = Static<typeof NewRecipe>

export const RecipeChanges = Type.Object({ title: Type.Optional(title), instructions: Type.Optional(instructions), items: Type.Optional(items) }, {
  $id: 'RecipeChanges',
  additionalProperties: false,
  description: 'The fields to set; those left out stay. `items` takes the place of all that there were',
  examples: [{ title: 'Focaccia with rosemary' }]
})
export type RecipeChanges = Static<typeof RecipeChanges>

const telemetry = { source: ref(Source), response_time: responseTime }

export const RecipeReply = Type.Object({ recipe: ref(Recipe), ...telemetry }, {
  $id: 'RecipeReply', additionalProperties: false, description: 'One recipe', examples: [{ recipe: stored, source: 'cache', response_time: 0.000042 }]
})
export type RecipeReply = Static<typeof RecipeReply>

export const RecipeListReply = Type.Object({ recipes: Type.Array(ref(Recipe)), next_cursor: nextCursor, ...telemetry }, {
  $id: 'RecipeListReply',
  additionalProperties: false,
  description: 'Recipes in the order of their ids',
  examples: [{ recipes: [stored], source: 'database', response_time: 0.001304 }]
})
export type RecipeListReply = Static<typeof RecipeListReply>

export const RecipeDeletedReply = Type.Object({ message: Type.String(), ...telemetry }, {
  $id: 'RecipeDeletedReply',
  additionalProperties: false,
  description: 'The recipe is gone',
  examples: [{ message: 'Recipe deleted successfully', source: 'database', response_time: 0.002101 }]
})
export type RecipeDeletedReply = Static<typeof RecipeDeletedReply>

const recipeId = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'The recipe’s id', examples: [1] })

export const RecipeParams = Type.Object({ id: recipeId }, { additionalProperties: false })
export const RecipeProductParams = Type.Object({ id: recipeId, product_id: productId }, { additionalProperties: false })
