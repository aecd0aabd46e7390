import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import cacheAside from '../plugins/cache-aside.js'
import { CachedListQuery, CachedQuery, CachedReadHeaders, Unchanged } from '../schemas/cache-aside.js'
import { problems, ref } from '../schemas/common.js'
import { ChangeConditions, cached } from '../schemas/response-cache.js'
import { NewProduct, ProductChanges, ProductDeletedReply, ProductListReply, ProductParams, ProductReply, type Product } from '../schemas/products.js'
import { ProductService } from '../services/products.js'
import { permitOf } from '../services/preconditions.js'
import { sampleKeys } from '../services/sample-keys.js'
import { stopwatch } from '../services/stopwatch.js'

const { list: LIST_KEY, one: keyOf } = sampleKeys.products
const tags = ['Products']
/** What of an answer its ETag stands for. */
const dataOf = (product: Product) => ({ product })
const textOf = (product: Product) => JSON.stringify(dataOf(product))

/** Products. Prefix: `/products`. */
const products: FastifyPluginAsyncTypebox = async (app) => {
  const service = new ProductService(app.database, app.outbox)
  const { cache, configStore, outbox } = app
  await app.register(cacheAside)

  app.get('', {
    config: { scope: 'products:read' },
    schema: {
      operationId: 'listProducts',
      summary: 'List products',
      description: 'From the cache, unless `limit` or `cursor` asks for a page: pages are read from the database.',
      tags,
      querystring: CachedListQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(ProductListReply), 304: Unchanged, ...problems(503, 504) }
    }
  }, (_request, reply) => reply.cacheAside({
    key: LIST_KEY,
    ttl: configStore.get('samples.products.list_ttl'),
    telemetry: stopwatch().text,
    load: async (page, call) => await service.within(call).list(page)
  }))

  app.get('/:id', {
    config: { scope: 'products:read' },
    schema: {
      operationId: 'getProduct',
      summary: 'Read a product',
      tags,
      params: ProductParams,
      querystring: CachedQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(ProductReply), 304: Unchanged, ...problems(404, 503, 504) }
    }
  }, (request, reply) => {
    const time = stopwatch()
    const { id } = request.params
    return reply.cacheAside({
      key: keyOf(id),
      ttl: configStore.get('samples.products.product_ttl'),
      telemetry: time.text,
      load: async (_page, call) => dataOf(await service.within(call).get(id))
    })
  })

  app.post('', {
    config: { scope: 'products:write' },
    schema: {
      operationId: 'createProduct',
      summary: 'Create a product',
      tags,
      body: ref(NewProduct),
      response: { 201: ref(ProductReply), ...problems(503) }
    }
  }, async (request, reply) => {
    const time = stopwatch()
    const created = (product: Product) => ({ status: 201, headers: { location: `/products/${product.id}` }, body: { product, ...time.members('database') } })
    const product = await service.within(reply.call).create(request.body, request.recording(created))
    await cache.forget(LIST_KEY)
    outbox.settle('cache', `products/${product.id}`)
    return reply.sendOutcome(created(product))
  })

  app.put('/:id', {
    config: { scope: 'products:write' },
    schema: {
      operationId: 'updateProduct',
      summary: 'Set fields of a product',
      tags,
      params: ProductParams,
      headers: ChangeConditions,
      body: ref(ProductChanges),
      response: { 200: ref(ProductReply), ...problems(404, 412, 503) }
    }
  }, async (request, reply) => {
    const time = stopwatch()
    const { id } = request.params
    const product = await service.within(reply.call).update(id, request.body, permitOf(request.headers, `The product ${id}`, textOf))
    await Promise.all([cache.forget(LIST_KEY, keyOf(id)), cache.outdate({ tags: [sampleKeys.recipes.tag] })])
    outbox.settle('cache', `products/${id}`)
    return { product, ...time.members('database') }
  })

  app.delete('/:id', {
    config: { scope: 'products:delete' },
    schema: {
      operationId: 'deleteProduct',
      summary: 'Delete a product',
      tags,
      params: ProductParams,
      headers: ChangeConditions,
      response: { 200: ref(ProductDeletedReply), ...problems(404, 409, 412, 503) }
    }
  }, async (request, reply) => {
    const time = stopwatch()
    const { id } = request.params
    await service.within(reply.call).delete(id, permitOf(request.headers, `The product ${id}`, textOf))
    await cache.forget(LIST_KEY, keyOf(id))
    outbox.settle('cache', `products/${id}`)
    return { message: 'Product deleted successfully', ...time.members('database') }
  })
}

export default products
