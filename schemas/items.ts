import { Type, type Static } from '@sinclair/typebox'
import { nextCursor, ref } from './common.js'

const ALICE = { id: '6c84fb90-12c4-11e1-840d-7b25c5ee775a', name: 'Alice', age: 30 }
const cached = Type.Boolean({ description: 'Whether the data came from the cache' })

export const Item = Type.Unsafe<{ id: string, [field: string]: unknown }>(Type.Object({
  id: Type.String({ format: 'uuid', description: 'Given by the service' })
}, { $id: 'Item', additionalProperties: true, description: 'An object of any fields, and its id', examples: [ALICE] }))
export type Item = Static<typeof Item>

export const NewItem = Type.Unsafe<Record<string, unknown>>(Type.Object({}, {
  $id: 'NewItem', additionalProperties: true, description: 'Any JSON object without `id`', examples: [{ name: 'Alice', age: 30 }]
}))
export type NewItem = Static<typeof NewItem>

export const ItemChanges = Type.Unsafe<Record<string, unknown>>(Type.Object({}, {
  $id: 'ItemChanges',
  additionalProperties: true,
  description: 'The fields to set; those left out stay. An `id` must be the one in the path.',
  examples: [{ age: 31 }]
}))
export type ItemChanges = Static<typeof ItemChanges>

export const ItemReply = Type.Object({ cached, item: ref(Item) }, {
  $id: 'ItemReply', additionalProperties: false, description: 'One item', examples: [{ cached: true, item: ALICE }]
})
export type ItemReply = Static<typeof ItemReply>

export const ItemListReply = Type.Object({ cached, items: Type.Array(ref(Item)), next_cursor: nextCursor }, {
  $id: 'ItemListReply', additionalProperties: false, description: 'Items in the order of their creation', examples: [{ cached: false, items: [ALICE] }]
})
export type ItemListReply = Static<typeof ItemListReply>

export const ItemDeletedReply = Type.Object({ ok: Type.Literal(true) }, {
  $id: 'ItemDeletedReply', additionalProperties: false, description: 'The item is gone', examples: [{ ok: true }]
})
export type ItemDeletedReply = Static<typeof ItemDeletedReply>

/** Any text is an id that may not be there: only what no item can have is told apart, and that is 404 too. */
export const ItemParams = Type.Object({
  id: Type.String({ description: 'The item\'s id', examples: [ALICE.id] })
}, { additionalProperties: false })
