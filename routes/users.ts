import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import cacheAside from '../plugins/cache-aside.js'
import { CachedQuery, CachedReadHeaders, NotModified } from '../schemas/cache-aside.js'
import { Message, problems, ref } from '../schemas/common.js'
import { UserChanges, UserParams, UserReply } from '../schemas/users.js'
import { sampleKeys } from '../services/sample-keys.js'
import { UserService } from '../services/users.js'

const keyOf = sampleKeys.users.one
const tags = ['Users']

/** Users. Prefix: `/api/users`. */
const users: FastifyPluginAsyncTypebox = async (app) => {
  const service = new UserService(app.database, app.outbox)
  const { cache, configStore, outbox } = app
  await app.register(cacheAside)

  app.get('/:id', {
    config: { scope: 'users:read' },
    schema: {
      operationId: 'getUser',
      summary: 'Read a user',
      tags,
      params: UserParams,
      querystring: CachedQuery,
      headers: CachedReadHeaders,
      response: { 200: ref(UserReply), 304: NotModified, ...problems(404, 503) }
    }
  }, (request, reply) => {
    const { id } = request.params
    return reply.cacheAside({
      key: keyOf(id), ttl: configStore.get('samples.users.user_ttl'), load: async () => ({ user: await service.get(id) })
    })
  })

  app.put('/:id', {
    config: { scope: 'users:write' },
    schema: {
      operationId: 'updateUser',
      summary: 'Rename a user',
      tags,
      params: UserParams,
      body: ref(UserChanges),
      response: { 200: ref(Message), ...problems(404, 503) }
    }
  }, async (request) => {
    const { id } = request.params
    await service.update(id, request.body)
    await cache.forget(keyOf(id))
    outbox.settle('cache', `users/${id}`)
    return { message: 'User updated' }
  })
}

export default users
