import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type {} from '../plugins/api-keys.js'
import type {} from '../plugins/gatekeeper.js'
import type {} from '../plugins/valet-key.js'
import { AccessExplanation, ExplainQuery, Identity } from '../schemas/authz.js'
import { problems, ref } from '../schemas/common.js'
import { AddressList } from '../services/access/address-list.js'
import { explain, type Explanation, type Flaw, type Question } from '../services/access/explanation.js'
import type { Principal } from '../services/access/principal.js'
import { ResourceList } from '../services/access/resources.js'
import { isGrantable, ScopeSet } from '../services/access/scopes.js'
import type { ValetKeyStatus } from '../services/access/valet/valet-ledger.js'
import { invalidField, InvalidInputError, NotFoundError } from '../services/errors.js'
import { DEFAULT_NAMESPACE } from './cache/place.js'

/** What the rules are, for operators. Prefix: `/authz`. */
const authz: FastifyPluginAsyncTypebox = async (app) => {
  const { apiKeys, credentials, gatekeeper, heldKeys, valet: { ledger } } = app

  app.get('/whoami', {
    config: { scope: 'public' },
    schema: {
      operationId: 'whoAmI',
      summary: 'Say who the caller is, and what they may do',
      description: 'For a credential that is presented, or for none. No use of a valet key is counted for it.',
      tags: ['Audit'],
      response: { 200: ref(Identity), ...problems(401) }
    }
  }, async ({ principal: { kind, id, scopes, namespaces, resources, expiresAt } }, reply) => {
    reply.header('cache-control', 'no-store')
    return {
      kind,
      id,
      scopes: [...scopes.names],
      permissions: scopes.permissions(),
      namespaces: namespaces === undefined ? null : [...namespaces],
      resources: resources === undefined ? null : [...resources.patterns],
      expires_at: expiresAt === undefined ? null : new Date(expiresAt).toISOString()
    }
  })

  app.get('/explain', {
    config: { scope: 'audit:read', touches: 'everything' },
    schema: {
      operationId: 'explainAccess',
      summary: 'Say whether a request would be let through, and by which rule',
      description: 'For an API key or a valet key that there is, or for a credential as it might be. Nothing is done, and no use is counted. Entries of the cache that ' +
        'the credential does not reach look absent to reads; writes are 403.',
      tags: ['Audit'],
      querystring: ExplainQuery,
      response: { 200: ref(AccessExplanation), ...problems(400, 404, 503) }
    }
  }, async ({ query, principal }, reply) => {
    const [path = '', search = ''] = query.path.split('?', 2)
    const method = query.method?.toUpperCase() ?? 'GET'
    const route = gatekeeper.table.find(method, path)
    if (route === undefined) throw new NotFoundError(`No operation takes ${method} ${path}: /docs shows those there are.`)
    const who = await bearerOf(query, principal)
    const { demand, params } = route
    const asked = new URLSearchParams(search)
    const explanation = explain(who.principal, {
      demand, params, query: Object.fromEntries(asked), flaw: who.flaw, address: query.address, entry: entryOf(route.path, params, asked, query.key)
    })
    reply.header('cache-control', 'no-store')
    return {
      decision: explanation.isPermitted ? 'permit' as const : 'forbid' as const,
      rule: explanation.rule,
      detail: detailOf(explanation, demand.permission),
      granted_by: explanation.grantedBy ?? null,
      route: { method, path: route.path, scope: demand.permission },
      revision: credentials.revision
    }
  })

  async function bearerOf (query: ExplainQuery, viewer: Principal): Promise<{ principal: Principal, flaw?: Flaw | undefined }> {
    const { key_id: keyId, valet_id: valetId, scopes, forbid, namespaces, resources } = query
    const given = [keyId, valetId, scopes ?? forbid ?? namespaces ?? resources].filter((each) => each !== undefined)
    if (given.length > 1) throw new InvalidInputError('A key has scopes, namespaces and resources of its own: give key_id, or valet_id, or those.')
    if (keyId !== undefined) {
      const key = await apiKeys.get(viewer, keyId)
      return { principal: supposed(key.scopes, key.forbid, key.namespaces ?? undefined), flaw: key.status === 'live' ? undefined : key.status }
    }
    if (valetId !== undefined) {
      const key = await ledger.get(viewer, valetId)
      const { namespaces = null, resources = null, addresses } = key
      const principal = supposed(key.scopes.filter(isGrantable), [], namespaces ?? undefined, resources ?? undefined)
      return { principal: addresses === null ? principal : { ...principal, addresses: new AddressList(addresses) }, flaw: await flawOf(key, viewer) }
    }
    return { principal: supposed(listOf('scopes', scopes), listOf('forbid', forbid), namespaces?.split(','), resources?.split(',')) }
  }

  async function flawOf ({ state, notBefore, issuer, parent }: ValetKeyStatus, viewer: Principal): Promise<Flaw | undefined> {
    if (state !== 'live') return state
    if (notBefore !== null && notBefore > Date.now()) return 'not yet valid'
    let root = issuer
    for (let id = parent; id !== undefined;) {
      const source = await ledger.get(viewer, id)
      root = source.issuer
      id = source.parent
    }
    return root.startsWith('key:') && (heldKeys.endOf(root.slice('key:'.length)) ?? 0) <= Date.now() ? 'without issuer' : undefined
  }
}

function supposed (scopes: readonly string[], forbid: readonly string[], namespaces?: readonly string[], resources?: readonly string[]): Principal {
  return {
    kind: 'api_key',
    id: 'key:supposed',
    scopes: ScopeSet.of(scopes, forbid),
    ...(namespaces && { namespaces: new Set(namespaces) }),
    ...(resources && { resources: new ResourceList(resources) })
  }
}

function listOf (name: string, text: string | undefined): string[] {
  const scopes = text?.split(',') ?? []
  const unknown = scopes.find((scope) => !isGrantable(scope))
  if (unknown !== undefined) throw invalidField(name, `names a scope that does not exist: ${unknown}.`)
  return scopes
}

/** What of the cache the request is about: the routes of its API hold that to the caller by themselves. */
function entryOf (path: string, params: Record<string, string>, search: URLSearchParams, given: string | undefined): Question['entry'] {
  if (!path.startsWith('/api/cache/') || /\/(?:config)$/.test(path)) return undefined
  const key = params['key'] ?? given
  return { namespace: search.get('namespace') ?? DEFAULT_NAMESPACE, key }
}

function detailOf ({ rule, grantedBy }: Explanation, permission: string): string {
  switch (rule) {
    case 'public': return 'The operation is open to everybody.'
    case 'granted': return `The scope ${grantedBy} permits ${permission}.`
    case 'not granted': return `No scope of the credential permits ${permission}.`
    case 'forbidden': return `The scope ${grantedBy} would permit ${permission}, and another forbids it.`
    case 'limited to namespaces': return 'The credential is limited to namespaces, and this is beyond them.'
    case 'limited to resources': return 'The credential is limited to resources, and this is beyond them.'
    case 'limited to addresses': return 'The credential may not be used from this address.'
    case 'credential expired': return 'The credential has expired.'
    case 'credential revoked': return 'The credential is revoked.'
    case 'credential exhausted': return 'The credential has no uses left.'
    case 'credential not yet valid': return 'The time of the credential has not come yet.'
    case 'credential without issuer': return 'The API key that it was issued with is revoked or has expired.'
    case 'error': return 'It cannot be decided, and so it is denied.'
  }
}

export default authz
