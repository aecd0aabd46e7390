import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import cacheAside from '../plugins/cache-aside.js'
import { CachedListQuery, CachedQuery, CachedReadHeaders, Unchanged } from '../schemas/cache-aside.js'
import { problems, ref } from '../schemas/common.js'
import { ChangeConditions, cached } from '../schemas/response-cache.js'
import {
  NewRecipe, NewRecipeItem, RecipeChanges, RecipeDeletedReply, RecipeListReply, RecipeParams, RecipeProductParams, RecipeReply, type Recipe
} from '../schemas/recipes.js'
import { RecipeService } from '../services/recipes.js'
import { permitOf } from '../services/preconditions.js'
import { sampleKeys } from '../services/sample-keys.js'
import { stopwatch } from '../services/stopwatch.js'

const { list: LIST_KEY, one: keyOf, tag: TAG } = sampleKeys.recipes
const tags = ['Recipes']
/** What of an answer its ETag stands for. */
const dataOf = (recipe: Recipe) => ({ recipe })
const permit = (headers: Parameters<typeof permitOf>[0], id: number) => permitOf(headers, `The recipe ${id}`, (recipe: Recipe) => JSON.stringify(dataOf(recipe)))

/** Recipes: even in development they ask for a credential, to show how it is done. Prefix: `/recipes`. */
const recipes: FastifyPluginAsyncTypebox = async (app) => {
  const service = new RecipeService(app.database, app.outbox)
  const { cache, configStore, outbox } = app
  await app.register(cacheAside)

  app.get('', {
    config: { scope: 'recipes:read' },
    schema: {
      operationId: 'listRecipes',
      summary: 'List recipes',
      description: 'From the cache, unless `limit` or `cursor` asks for a page: pages are read from the database.',
      tags,
      querystring: CachedListQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(RecipeListReply), 304: Unchanged, ...problems(503, 504) }
    }
  }, (_request, reply) => reply.cacheAside({
    key: LIST_KEY,
    ttl: configStore.get('samples.recipes.list_ttl'),
    tags: [TAG],
    telemetry: stopwatch().text,
    load: async (page, call) => await service.within(call).list(page)
  }))

  app.get('/:id', {
    config: { scope: 'recipes:read' },
    schema: {
      operationId: 'getRecipe',
      summary: 'Read a recipe',
      tags,
      params: RecipeParams,
      querystring: CachedQuery,
      headers: CachedReadHeaders,
      response: { 200: cached(RecipeReply), 304: Unchanged, ...problems(404, 503, 504) }
    }
  }, (request, reply) => {
    const time = stopwatch()
    const { id } = request.params
    return reply.cacheAside({
      key: keyOf(id),
      ttl: configStore.get('samples.recipes.recipe_ttl'),
      tags: [TAG],
      telemetry: time.text,
      load: async (_page, call) => dataOf(await service.within(call).get(id))
    })
  })

  app.post('', {
    config: { scope: 'recipes:write' },
    schema: {
      operationId: 'createRecipe',
      summary: 'Create a recipe',
      description: 'In one transaction: where an item names a product that there is not, nothing is stored.',
      tags,
      body: ref(NewRecipe),
      response: { 201: ref(RecipeReply), ...problems(422, 503) }
    }
  }, async (request, reply) => {
    const time = stopwatch()
    const created = (recipe: Recipe) => ({ status: 201, headers: { location: `/recipes/${recipe.id}` }, body: { recipe, ...time.members('database') } })
    const recipe = await service.within(reply.call).create(request.body, request.recording(created))
    await changed(recipe.id)
    return reply.sendOutcome(created(recipe))
  })

  app.put('/:id', {
    config: { scope: 'recipes:write' },
    schema: {
      operationId: 'updateRecipe',
      summary: 'Set fields of a recipe',
      tags,
      params: RecipeParams,
      headers: ChangeConditions,
      body: ref(RecipeChanges),
      response: { 200: ref(RecipeReply), ...problems(404, 412, 422, 503) }
    }
  }, async ({ params: { id }, headers, body }, reply) => {
    const time = stopwatch()
    const recipe = await service.within(reply.call).update(id, body, permit(headers, id))
    await changed(id)
    return { recipe, ...time.members('database') }
  })

  app.delete('/:id', {
    config: { scope: 'recipes:delete' },
    schema: {
      operationId: 'deleteRecipe',
      summary: 'Delete a recipe',
      tags,
      params: RecipeParams,
      headers: ChangeConditions,
      response: { 200: ref(RecipeDeletedReply), ...problems(404, 412, 503) }
    }
  }, async ({ params: { id }, headers }, reply) => {
    const time = stopwatch()
    await service.within(reply.call).delete(id, permit(headers, id))
    await changed(id)
    return { message: 'Recipe deleted successfully', ...time.members('database') }
  })

  app.post('/:id/products', {
    config: { scope: 'recipes:write' },
    schema: {
      operationId: 'addRecipeProduct',
      summary: 'Add a product to a recipe',
      tags,
      params: RecipeParams,
      headers: ChangeConditions,
      body: ref(NewRecipeItem),
      response: { 201: ref(RecipeReply), ...problems(404, 409, 412, 422, 503) }
    }
  }, async (request, reply) => {
    const time = stopwatch()
    const { params: { id }, headers, body } = request
    const added = (recipe: Recipe) => ({ status: 201, body: { recipe, ...time.members('database') } })
    const recipe = await service.within(reply.call).addProduct(id, body, request.recording(added), permit(headers, id))
    await changed(id)
    return reply.sendOutcome(added(recipe))
  })

  app.delete('/:id/products/:product_id', {
    config: { scope: 'recipes:delete' },
    schema: {
      operationId: 'removeRecipeProduct',
      summary: 'Take a product out of a recipe',
      tags,
      params: RecipeProductParams,
      headers: ChangeConditions,
      response: { 200: ref(RecipeReply), ...problems(404, 412, 503) }
    }
  }, async ({ params: { id, product_id: productId }, headers }, reply) => {
    const time = stopwatch()
    const recipe = await service.within(reply.call).removeProduct(id, productId, permit(headers, id))
    await changed(id)
    return { recipe, ...time.members('database') }
  })

  async function changed (id: number): Promise<void> {
    await cache.forget(LIST_KEY, keyOf(id))
    outbox.settle('cache', `recipes/${id}`)
  }
}

export default recipes
