import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from '@sinclair/typebox'
import type { FastifyReply } from 'fastify'
import type {} from '../plugins/valet-key.js'
import { problems, ref } from '../schemas/common.js'
import {
  NewValetKey, OptionalRotation, SigningKeyListReply, SigningKeyParams, SigningKeyRotatedReply, ValetKey, ValetKeyFilter, ValetKeyListQuery,
  ValetKeyListReply, ValetKeyParams, ValetKeyReply, ValetKeysRevokedReply, type SigningKey
} from '../schemas/valet.js'
import type { Grant } from '../services/access/valet/grant.js'
import type { SigningKeyStatus } from '../services/access/valet/signing-keys.js'
import type { IssuedValetKey } from '../services/access/valet/valet-keys.js'
import type { ValetKeyStatus } from '../services/access/valet/valet-ledger.js'
import { InvalidInputError } from '../services/errors.js'
import { isoTime } from '../services/iso-time.js'

const tags = ['Valet keys']

/** Valet keys, and what they are signed with. Prefix: `/valet`. */
const valet: FastifyPluginAsyncTypebox = async (app) => {
  const { database, valet: { keys, ledger, signing } } = app

  app.post('/token', {
    config: { scope: 'valet:issue', audit: 'valet.issue', idempotency: { isSecret: true } },
    schema: {
      operationId: 'issueValetKey',
      summary: 'Issue a valet key',
      description: 'A token for `Authorization: Bearer` that permits a part of what its issuer may do, for a while. It never has more than its issuer: ' +
        'no further scopes, namespaces, resources, addresses or bytes, and no later end. A valet key with `valet:issue` can be passed on in narrower form; ' +
        'what comes from it shares its uses and ends with it.',
      tags,
      body: ref(NewValetKey),
      response: { 201: ref(ValetKeyReply), ...problems(401, 403, 422, 503) }
    }
  }, async (request, reply) => {
    const { not_before: notBefore, max_uses: maxUses, ip, max_bytes: maxBytes, ...same } = request.body
    const issued = ({ id, token, expiresIn, grant }: IssuedValetKey) => ({
      status: 201,
      headers: { location: `${app.prefix}/tokens/${id}`, 'cache-control': 'no-store' },
      body: { token, token_type: 'Bearer' as const, id, expires_in: expiresIn, ...grantedOf(grant) }
    })
    return reply.sendOutcome(issued(await keys.issue(request.principal, {
      ...same, notBefore: notBefore === undefined ? undefined : Date.parse(notBefore), maxUses, maxBytes, addresses: typeof ip === 'string' ? [ip] : ip
    }, request.recording(issued))))
  })

  app.get('/tokens', {
    config: { scope: 'valet:read', touches: 'handler' },
    schema: {
      operationId: 'listValetKeys',
      summary: 'List valet keys',
      description: 'Never the tokens. Who is limited sees what they have issued themselves, and what came of it. What has expired stays listed for a day.',
      tags,
      querystring: ValetKeyListQuery,
      response: { 200: ref(ValetKeyListReply), ...problems(401, 403, 503) }
    }
  }, async ({ principal, query }, reply) => {
    const { issuer, policy, limit = 100, cursor, order } = query
    const { tokens, next } = await ledger.list(principal, { issuer, policy }, { limit, cursor, order })
    if (next.next_cursor !== undefined) {
      const more = new URLSearchParams({ limit: String(limit), cursor: next.next_cursor, ...(issuer !== undefined && { issuer }), ...(policy !== undefined && { policy }), ...(order !== undefined && { order }) })
      reply.header('link', `<${app.prefix}/tokens?${more.toString()}>; rel="next"`)
    }
    return noStore(reply).send({ tokens: tokens.map(statusOf), ...next })
  })

  app.get('/tokens/:id', {
    config: { scope: 'valet:read', touches: 'handler' },
    schema: {
      operationId: 'getValetKey',
      summary: 'Show a valet key',
      tags,
      params: ValetKeyParams,
      response: { 200: ref(ValetKey), ...problems(401, 403, 404, 503) }
    }
  }, async ({ principal, params: { id } }, reply) => noStore(reply).send(statusOf(await ledger.get(principal, id))))

  app.delete('/tokens/:id', {
    config: { scope: 'valet:delete', touches: 'handler', audit: 'valet.revoke' },
    schema: {
      operationId: 'revokeValetKey',
      summary: 'Revoke a valet key',
      description: 'With all that come from it: here at once, in every other process within a second. Doing it again changes nothing.',
      tags,
      params: ValetKeyParams,
      response: { 204: Type.Null({ description: 'It is revoked' }), ...problems(401, 404, 503) }
    }
  }, async ({ principal, params: { id } }, reply) => {
    await ledger.revoke(principal, id)
    return reply.code(204).send(null)
  })

  app.delete('/tokens', {
    config: { scope: 'valet:delete', touches: 'handler', audit: 'valet.revoke' },
    schema: {
      operationId: 'revokeValetKeys',
      summary: 'Revoke the valet keys of an issuer or a policy',
      description: 'Those that live, with all that come from them: here at once, in every other process within a second. With both an issuer and a policy, those of both.',
      tags,
      querystring: ValetKeyFilter,
      response: { 200: ref(ValetKeysRevokedReply), ...problems(401, 503) }
    }
  }, async ({ principal, query }) => {
    if (query.issuer === undefined && query.policy === undefined) {
      throw new InvalidInputError('Say whose: give issuer or policy. To revoke all there are, POST /valet/rotate with {"retire": true}.')
    }
    return { revoked: await ledger.revokeAll(principal, query) }
  })

  app.get('/keys', {
    config: { scope: 'valet:read', touches: 'everything' },
    schema: {
      operationId: 'listSigningKeys',
      summary: 'List the signing keys',
      tags,
      response: { 200: ref(SigningKeyListReply), ...problems(401, 403, 503) }
    }
  }, async (_request, reply) => noStore(reply).send({ keys: (await signing.list(database)).map(signingKeyOf) }))

  app.post('/rotate', {
    config: { scope: 'valet:write', touches: 'everything', audit: 'valet.rotate' },
    schema: {
      operationId: 'rotateSigningKey',
      summary: 'Replace the signing key',
      description: 'Valet keys under the one before go on until they expire. With `retire` they are void at once: here, and in every other process within a second.',
      tags,
      body: OptionalRotation,
      response: { 200: ref(SigningKeyRotatedReply), ...problems(401, 503) }
    }
  }, async (request, reply) => {
    const kid = await signing.rotate(request.principal, request.body ?? {}, request.recording())
    return noStore(reply).send({ kid, keys: (await signing.list(database)).map(signingKeyOf) })
  })

  app.delete('/keys/:kid', {
    config: { scope: 'valet:delete', touches: 'everything', audit: 'valet.retire' },
    schema: {
      operationId: 'retireSigningKey',
      summary: 'Retire a signing key',
      description: 'Makes all valet keys under it void: here at once, in every other process within a second. Another one signs from then on.',
      tags,
      params: SigningKeyParams,
      response: { 204: Type.Null({ description: 'It verifies nothing any more' }), ...problems(401, 404, 503) }
    }
  }, async ({ principal, params: { kid } }, reply) => {
    await signing.retire(kid, principal)
    return reply.code(204).send(null)
  })
}

export default valet

/** What says who may do what is nobody's to keep. */
function noStore (reply: FastifyReply): FastifyReply {
  return reply.header('cache-control', 'no-store')
}

function grantedOf ({ scopes, namespaces, resources, addresses, maxBytes, maxUses, policy, description, issuedAt, notBefore, expiresAt }: Grant) {
  return {
    scopes: [...new Set(scopes)],
    namespaces: namespaces ?? null,
    resources: resources ?? null,
    ip: addresses ?? null,
    max_bytes: maxBytes ?? null,
    max_uses: maxUses ?? null,
    policy: policy ?? null,
    description: description ?? null,
    issued_at: isoTime(issuedAt * 1000),
    not_before: notBefore === undefined ? null : isoTime(notBefore * 1000),
    expires_at: isoTime(expiresAt * 1000)
  }
}

function statusOf (key: ValetKeyStatus) {
  const { id, state, issuer, parent, kid, uses, scopes, namespaces, resources, addresses, maxBytes, maxUses, policy, description, notBefore, revokedAt, revokedBy } = key
  return {
    id,
    state,
    issuer,
    parent: parent ?? null,
    kid,
    uses,
    scopes,
    namespaces,
    resources,
    ip: addresses,
    max_bytes: maxBytes,
    max_uses: maxUses,
    policy,
    description,
    issued_at: isoTime(key.issuedAt),
    not_before: notBefore === null ? null : isoTime(notBefore),
    expires_at: isoTime(key.expiresAt),
    revoked_at: revokedAt === null ? null : isoTime(revokedAt),
    revoked_by: revokedBy
  }
}

function signingKeyOf ({ kid, algorithm, state, createdAt, createdBy, verifiesUntil }: SigningKeyStatus): SigningKey {
  return {
    kid, algorithm, state, created_at: isoTime(createdAt), created_by: createdBy, verifies_until: verifiesUntil === undefined ? null : isoTime(verifiesUntil)
  }
}
