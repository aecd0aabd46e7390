import { Type } from '@sinclair/typebox'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/valet-key.js'
import { NotModified } from '../schemas/cache-aside.js'
import { problems, ref } from '../schemas/common.js'
import { JsonWebKeySet } from '../schemas/valet.js'
import { NotFoundError } from '../services/errors.js'
import { isUnchanged } from '../services/http-cache/conditions.js'
import { contentTag } from '../services/http-cache/entity-tags.js'

/** Seconds that others may keep the public keys for. A new one signs at once: who meets a key id that is not there asks again. */
const MAX_AGE = 300

/** What others look for at a fixed place (RFC 8615). Prefix: `/.well-known`. */
const wellKnown: FastifyPluginAsyncTypebox = async (app) => {
  const { signing, algorithm } = app.valet

  app.get('/jwks.json', {
    config: { scope: 'public' },
    schema: {
      operationId: 'getJsonWebKeySet',
      summary: 'Show the public keys of valet keys',
      description: 'With VALET_ALGORITHM=EdDSA: the keys under which valet keys verify, oldest first. Another service can check a valet key with them, but not whether it is revoked.',
      tags: ['Valet keys'],
      headers: Type.Object({ 'if-none-match': Type.Optional(Type.String({ description: 'The `ETag` of the answer before' })) }),
      response: { 200: ref(JsonWebKeySet), 304: NotModified, ...problems(404) }
    }
  }, async (request, reply) => {
    if (algorithm === 'HS256') throw new NotFoundError('Valet keys are signed with a shared secret, which is not published: set VALET_ALGORITHM=EdDSA to have public keys.')
    const set: JsonWebKeySet = { keys: signing.published() }
    const tag = contentTag(JSON.stringify(set))
    reply.header('etag', tag).header('cache-control', `public, max-age=${MAX_AGE}`)
    if (isUnchanged(request.headers, tag)) return reply.code(304).send()
    return set
  })
}

export default wellKnown
