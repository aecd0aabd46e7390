import { randomUUID } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import cacheAside, { GRACE } from '../plugins/cache-aside.js'
import { CachedListQuery, CachedQuery, CachedReadHeaders, Unchanged } from '../schemas/cache-aside.js'
import { problems, ref } from '../schemas/common.js'
import { ChangeConditions, cached } from '../schemas/response-cache.js'
import { Item, ItemChanges, ItemDeletedReply, ItemListReply, ItemParams, ItemReply, NewItem } from '../schemas/items.js'
import { itemId, ItemService } from '../services/items.js'
import { permitOf } from '../services/preconditions.js'
import { sampleKeys } from '../services/sample-keys.js'

const { list: LIST_KEY, one: keyOf } = sampleKeys.items
const telemetry = (fromCache: boolean) => ({ before: `"cached":${fromCache}` })
const tags = ['Items']
/** What of an answer its ETag stands for. */
const dataOf = (item: Item) => ({ item })
const textOf = (item: Item) => JSON.stringify(dataOf(item))

/** Free-form JSON objects. Prefix: `/items`. */
const items: FastifyPluginAsyncTypebox = async (app) => {
  const service = new ItemService(app.database, app.outbox)
  const { cache, configStore, outbox } = app
  await app.register(cacheAside)

  app.get('', {
    config: { scope: 'items:read' },
    schema: {
      operationId: 'listItems',
      summary: 'List items',
      description: 'From the cache, unless `limit` or `cursor` asks for a page: pages are read from the database.',
      tags,
      querystring: CachedListQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(ItemListReply), 304: Unchanged, ...problems(503, 504) }
    }
  }, (_request, reply) => reply.cacheAside({
    key: LIST_KEY, ttl: configStore.get('samples.items.list_ttl'), telemetry, load: async (page, call) => await service.within(call).list(page)
  }))

  app.get('/:id', {
    config: { scope: 'items:read' },
    schema: {
      operationId: 'getItem',
      summary: 'Read an item',
      tags,
      params: ItemParams,
      querystring: CachedQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(ItemReply), 304: Unchanged, ...problems(404, 503, 504) }
    }
  }, (request, reply) => {
    const id = itemId(request.params.id)
    return reply.cacheAside({
      key: keyOf(id), ttl: configStore.get('samples.items.item_ttl'), telemetry, load: async (_page, call) => dataOf(await service.within(call).get(id))
    })
  })

  app.post('', {
    config: { scope: 'items:write' },
    schema: {
      operationId: 'createItem',
      summary: 'Create an item',
      tags,
      body: ref(NewItem),
      response: { 201: ref(Item), ...problems(503) }
    }
  }, async (request, reply) => {
    const id = randomUUID()
    const created = (item: Item) => ({ status: 201, headers: { location: `/items/${id}` }, body: item })
    const item = await written(id, () => service.within(reply.call).create(id, request.body, request.recording(created)))
    return reply.sendOutcome(created(item))
  })

  app.put('/:id', {
    config: { scope: 'items:write' },
    schema: {
      operationId: 'updateItem',
      summary: 'Set fields of an item',
      tags,
      params: ItemParams,
      headers: ChangeConditions,
      body: ref(ItemChanges),
      response: { 200: ref(Item), ...problems(404, 412, 422, 503) }
    }
  }, async (request, reply) => {
    const id = itemId(request.params.id)
    const permit = permitOf(request.headers, `The item ${id}`, textOf)
    return await written(id, () => service.within(reply.call).update(id, request.body, permit))
  })

  app.delete('/:id', {
    config: { scope: 'items:delete' },
    schema: {
      operationId: 'deleteItem',
      summary: 'Delete an item',
      tags,
      params: ItemParams,
      headers: ChangeConditions,
      response: { 200: ref(ItemDeletedReply), ...problems(404, 412, 503) }
    }
  }, async (request, reply) => {
    const id = itemId(request.params.id)
    await service.within(reply.call).delete(id, permitOf(request.headers, `The item ${id}`, textOf))
    await cache.forget(keyOf(id), LIST_KEY)
    outbox.settle('cache', `items/${id}`)
    return { ok: true as const }
  })

  /** Primes the item's entry with what `write` committed, unless another write came in between, and drops the list's. */
  async function written (id: string, write: () => Promise<Item>): Promise<Item> {
    const ttl = configStore.get('samples.items.item_ttl')
    const { item } = await cache.update(keyOf(id), async () => dataOf(await write()), { ttl, grace: GRACE })
    await cache.forget(LIST_KEY)
    outbox.settle('cache', `items/${id}`)
    return item
  }
}

export default items
