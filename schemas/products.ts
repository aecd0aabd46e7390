import { Type, type Static, type TSchema } from '@sinclair/typebox'
import { responseTime, Source } from './cache-aside.js'
import { nextCursor, ref, timestamp } from './common.js'
import { storedText } from './stored-text.js'

/** numeric(12, 2) */
const MAX_PRICE = 9_999_999_999.99
/** integer */
const MAX_STOCK = 2_147_483_647

const orNull = <S extends TSchema>(schema: S, description: string) => Type.Union([schema, Type.Null()], { description })

const id = Type.Integer({ minimum: 1, description: 'Given by the service', examples: [1] })
const name = storedText({ minLength: 1, maxLength: 255, examples: ['Sample Product'] })
const description = orNull(storedText({ maxLength: 2000 }), 'Up to 2000 characters')
const unit = orNull(storedText({ maxLength: 50 }), 'What `stock_quantity` and recipes count, such as `kg`')
const price = Type.Number({
  exclusiveMinimum: 0, maximum: MAX_PRICE, description: 'With at most two decimals, kept exactly', examples: [29.99]
})
const category = storedText({ minLength: 1, maxLength: 100, examples: ['Electronics'] })
const stock = { minimum: 0, maximum: MAX_STOCK, examples: [100] }

const sample = { name: 'Sample Product', description: 'A sample product', price: 29.99, category: 'Electronics', stock_quantity: 100 }
const stored = {
  id: 1, ...sample, unit: null, created_at: '2026-01-31T12:00:00.000Z', updated_at: '2026-01-31T12:00:00.000Z'
}

export const Product = Type.Object({
  id,
  name,
  description,
  unit,
  price,
  category,
  stock_quantity: Type.Integer(stock),
  created_at: timestamp('When it was created'),
  updated_at: timestamp('When it was last changed')
}, { $id: 'Product', additionalProperties: false, description: 'A product', examples: [stored] })
export type Product = Static<typeof Product>

export const NewProduct = Type.Object({
  name,
  description: Type.Optional(description),
  unit: Type.Optional(unit),
  price,
  category,
  stock_quantity: Type.Optional(Type.Integer({ ...stock, default: 0 }))
}, { $id: 'NewProduct', additionalProperties: false, description: 'A product to create', examples: [sample] })
export type NewProduct = Static<typeof NewProduct>

export const ProductChanges = Type.Object({
  name: Type.Optional(name),
  description: Type.Optional(description),
  unit: Type.Optional(unit),
  price: Type.Optional(price),
  category: Type.Optional(category),
  stock_quantity: Type.Optional(Type.Integer(stock))
}, {
  $id: 'ProductChanges', additionalProperties: false, description: 'The fields to set; those left out stay', examples: [{ price: 24.5 }]
})
export type ProductChanges = Static<typeof ProductChanges>

const telemetry = { source: ref(Source), response_time: responseTime }

export const ProductReply = Type.Object({ product: ref(Product), ...telemetry }, {
  $id: 'ProductReply',
  additionalProperties: false,
  description: 'One product',
  examples: [{ product: stored, source: 'cache', response_time: 0.000042 }]
})
export type ProductReply = Static<typeof ProductReply>

export const ProductListReply = Type.Object({ products: Type.Array(ref(Product)), next_cursor: nextCursor, ...telemetry }, {
  $id: 'ProductListReply',
  additionalProperties: false,
  description: 'Products in the order of their ids',
  examples: [{ products: [stored], source: 'database', response_time: 0.001304 }]
})
export type ProductListReply = Static<typeof ProductListReply>

export const ProductDeletedReply = Type.Object({ message: Type.String(), ...telemetry }, {
  $id: 'ProductDeletedReply',
  additionalProperties: false,
  description: 'The product is gone',
  examples: [{ message: 'Product deleted successfully', source: 'database', response_time: 0.002101 }]
})
export type ProductDeletedReply = Static<typeof ProductDeletedReply>

export const ProductParams = Type.Object({
  id: Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'The product\'s id', examples: [1] })
}, { additionalProperties: false })
