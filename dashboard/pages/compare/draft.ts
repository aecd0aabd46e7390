import type { NewProduct, Product, ProductChanges } from '../../../schemas/products.js'
import type { ProblemError } from '../../problem-error.js'

export const FIELDS = ['name', 'description', 'unit', 'price', 'category', 'stock_quantity'] as const
export type FieldName = typeof FIELDS[number]

/** A product as it stands in a form: texts. An empty description or unit is none. */
export type Draft = Readonly<Record<FieldName, string>>

/** What is wrong with which field. */
export type Faults = Partial<Record<FieldName, string>>

/** Of the API; a test holds them to its schemas. */
const LONGEST = { name: 255, description: 2000, unit: 50, category: 100 } as const
const MAX_PRICE = 9_999_999_999.99
const MAX_STOCK = 2_147_483_647

export const EMPTY: Draft = { name: '', description: '', unit: '', price: '', category: '', stock_quantity: '0' }

export function draftOf ({ name, description, unit, price, category, stock_quantity: stock }: Product): Draft {
  return { name, description: description ?? '', unit: unit ?? '', price: String(price), category, stock_quantity: String(stock) }
}

/** What the API would refuse, before it is asked. */
export function faultsOf (draft: Draft): Faults {
  const { price, stock_quantity: stock } = draft
  const faults: Faults = {}
  for (const name of ['name', 'category'] as const) if (draft[name] === '') faults[name] = `must not be empty: it has 1 to ${LONGEST[name]} characters`
  for (const name of Object.keys(LONGEST) as (keyof typeof LONGEST)[]) {
    // What PostgreSQL has no room for.
    if (/[\0\p{Cs}]/u.test(draft[name])) faults[name] = 'must not have NUL or half of a surrogate pair in it'
    // As the API counts them: an emoji is one.
    const { length } = [...draft[name]]
    if (length > LONGEST[name]) faults[name] = `must not have more than ${LONGEST[name]} characters: it has ${length}`
  }
  if (!/^\d+(\.\d{1,2})?$/.test(price.trim())) faults.price = 'must be a number with at most two decimals, such as 29.99'
  else if (Number(price) === 0) faults.price = 'must be more than 0'
  else if (Number(price) > MAX_PRICE) faults.price = `must not be more than ${MAX_PRICE}`
  if (!/^\d+$/.test(stock.trim())) faults.stock_quantity = 'must be a whole number, 0 or more'
  else if (Number(stock) > MAX_STOCK) faults.stock_quantity = `must not be more than ${MAX_STOCK}`
  return faults
}

/** @param draft without faults */
export function newProductOf (draft: Draft): NewProduct {
  const { name, description, unit, price, category, stock_quantity: stock } = draft
  return { name, description: description === '' ? null : description, unit: unit === '' ? null : unit, price: Number(price), category, stock_quantity: Number(stock) }
}

/** The fields that are others than before. @param draft without faults */
export function changesOf (draft: Draft, product: Product): ProductChanges {
  const before = draftOf(product)
  const after = newProductOf(draft)
  return Object.fromEntries(FIELDS.filter((name) => draft[name] !== before[name]).map((name) => [name, after[name]]))
}

/** What an answer says about fields; what it says about none of them is for the form as a whole. */
export function faultsIn ({ errors }: Pick<ProblemError, 'errors'>): Faults {
  const faults: Faults = {}
  for (const { path, message } of errors) {
    const field = FIELDS.find((name) => path === `body/${name}`)
    if (field !== undefined) faults[field] ??= message
  }
  return faults
}
