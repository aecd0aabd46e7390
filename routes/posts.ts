import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import cacheAside from '../plugins/cache-aside.js'
import { CachedListQuery, CachedReadHeaders, NotModified } from '../schemas/cache-aside.js'
import { Message, problems, ref } from '../schemas/common.js'
import { NewPost, PostListReply } from '../schemas/posts.js'
import { PostService } from '../services/posts.js'
import { sampleKeys } from '../services/sample-keys.js'

const { list: LIST_KEY } = sampleKeys.posts
const tags = ['Posts']

/** Posts. Prefix: `/api/posts`; the documented spelling is `/api/posts/`. */
const posts: FastifyPluginAsyncTypebox = async (app) => {
  const service = new PostService(app.database, app.outbox)
  const { cache, configStore, outbox } = app
  await app.register(cacheAside)

  app.get('/', {
    prefixTrailingSlash: 'slash',
    config: { scope: 'posts:read' },
    schema: {
      operationId: 'listPosts',
      summary: 'List the titles of posts',
      description: 'From the cache, unless `limit` or `cursor` asks for a page: pages are read from the database.',
      tags,
      querystring: CachedListQuery,
      headers: CachedReadHeaders,
      response: { 200: ref(PostListReply), 304: NotModified, ...problems(503) }
    }
  }, (_request, reply) => reply.cacheAside({
    key: LIST_KEY, ttl: configStore.get('samples.posts.list_ttl'), load: async (page) => await service.list(page)
  }))

  app.post('/', {
    prefixTrailingSlash: 'slash',
    config: { scope: 'posts:write' },
    schema: {
      operationId: 'createPost',
      summary: 'Create a post',
      tags,
      body: ref(NewPost),
      response: { 201: ref(Message), ...problems(503) }
    }
  }, async (request, reply) => {
    const created = { status: 201, body: { message: 'Post created' } }
    const id = await service.create(request.body, request.recording(() => created))
    await cache.forget(LIST_KEY)
    outbox.settle('cache', `posts/${id}`)
    return reply.sendOutcome(created)
  })
}

export default posts
