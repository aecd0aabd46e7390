// Fastify with nothing on it but one route that answers the same bytes as Larder's.
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { schemaOf } from '../json-schema.mjs'
import { serve } from './serve.mjs'

const JSON_TYPE = 'application/json; charset=utf-8'

const kinds = {
  /** The ready text, from memory. */
  text (app, { method, url, text }) {
    app.route({
      method,
      url,
      handler (request, reply) {
        reply.header('content-type', JSON_TYPE)
        reply.send(text)
      }
    })
  },

  /** The object, written through the schema of the answer. */
  object (app, { method, url, text }) {
    const object = JSON.parse(text)
    app.route({ method, url, schema: answered(object), handler (request, reply) { reply.send(object) } })
  },

  /** The ready text, from Redis. */
  redis (app, { url, redisUrl }) {
    const redis = new Redis(redisUrl, { enableAutoPipelining: true })
    app.addHook('onClose', async () => redis.disconnect())
    app.get(url, async (request, reply) => {
      reply.header('content-type', JSON_TYPE)
      return redis.get(request.params.key)
    })
  },

  /** A body held to its schema, kept in a Map. */
  set (app, { url, text, body }) {
    const reply = JSON.parse(text)
    const kept = new Map()
    app.post(url, { schema: { body: schemaOf(body), ...answered(reply) } }, async (request) => {
      const { key, value } = request.body
      kept.set(key, value)
      return { ...reply, key }
    })
  },

  /** Objects by the keys in the body, written through the schema of the answer. */
  batch (app, { url, text, body }) {
    const { results, ...rest } = JSON.parse(text)
    const kept = new Map(results.map((result) => [result.key, result]))
    app.post(url, { schema: { body: schemaOf(body), ...answered({ ...rest, results }) } }, async (request) => {
      return { ...rest, results: request.body.map((key) => kept.get(key)) }
    })
  }
}

const answered = (object) => ({ response: { 200: schemaOf(object) } })

serve(async ({ kind, ...order }) => {
  const app = Fastify()
  kinds[kind](app, order)
  return app
})
