import type { FastifyInstance, InjectOptions, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import type { ExportedEntry } from '../../../schemas/cache-transfer.js'
import { ResourceList } from '../../../services/access/resources.js'
import { ScopeSet } from '../../../services/access/scopes.js'
import type { Principal } from '../../../services/access/principal.js'
import { badCredential } from '../../../services/access/errors.js'
import type { Owner } from '../../support/servers.js'
import { startApp } from './api.js'

export const ADMINISTRATOR = 'not-a-real-key-of-an-administrator'

/** What a caller may try on a route against an entry that is not theirs. `write` is refused; a `read` finds nothing. */
interface Attempt { kind: 'read' | 'write' | 'refused read' | 'entry by entry', request: Omit<InjectOptions, 'query'> & { query?: Partial<Query> } }
type Query = Record<string, string>
interface Foreign { backend: string, namespace: string, key: string, version: string, tag: string }

const json = (payload: unknown, headers: Record<string, string> = {}): Pick<InjectOptions, 'payload' | 'headers'> =>
  ({ payload: JSON.stringify(payload), headers: { 'content-type': 'application/json', ...headers } })

const queries = (...given: Query[]): Query[] => given

const entry = { value: 'overwritten', data_type: 'string', ttl: 60 }

/**
 * Everything there is to try, by route. A route of the cache API that is not here fails the test, so that a new one cannot be added
 * without saying what of it strangers see.
 */
export const ATTEMPTS: Record<string, (foreign: Foreign) => Attempt[]> = {
  'GET /api/cache/get/{key}': ({ backend, namespace, key, version }) => {
    const url = `/api/cache/get/${key}`
    return [
      { kind: 'read', request: { method: 'GET', url, query: { backend, namespace } } },
      { kind: 'read', request: { method: 'HEAD', url, query: { backend, namespace } } },
      { kind: 'read', request: { method: 'GET', url: `/api/cache/get/%${key.charCodeAt(0).toString(16)}${key.slice(1)}`, query: { backend, namespace } } },
      { kind: 'read', request: { method: 'GET', url, query: { backend, namespace, lease: '1' } } },
      { kind: 'read', request: { method: 'GET', url, query: { backend, namespace }, headers: { 'if-none-match': `"${version}"` } } },
      { kind: 'read', request: { method: 'GET', url, query: { backend, namespace }, headers: { 'if-none-match': '*' } } }
    ]
  },
  'GET /api/cache/exists/{key}': ({ backend, namespace, key }) => [
    { kind: 'read', request: { method: 'GET', url: `/api/cache/exists/${key}`, query: { backend, namespace } } }
  ],
  'POST /api/cache/get-batch': ({ backend, namespace, key }) => [
    { kind: 'read', request: { method: 'POST', url: '/api/cache/get-batch', query: { backend, namespace }, ...json([key, 'nothing', key]) } }
  ],
  'GET /api/cache/keys': ({ backend, namespace, key }) => queries({}, { pattern: '*' }, { pattern: `${key[0]}*` }, { pattern: key }, { offset: '1' }, { limit: '1' }).map((query): Attempt => (
    { kind: 'read', request: { method: 'GET', url: '/api/cache/keys', query: { backend, namespace, ...query } } }
  )),
  'GET /api/cache/stats': ({ backend, namespace }) => queries({ namespace }, {}).map((query): Attempt => (
    { kind: 'read', request: { method: 'GET', url: '/api/cache/stats', query: { backend, ...query } } }
  )),
  'GET /api/cache/analytics': ({ backend, namespace }) => [
    { kind: 'read', request: { method: 'GET', url: '/api/cache/analytics', query: { backend, namespace } } },
    { kind: 'refused read', request: { method: 'GET', url: '/api/cache/analytics', query: { backend } } }
  ],
  'GET /api/cache/config': ({ backend, namespace }) => [
    { kind: 'read', request: { method: 'GET', url: '/api/cache/config', query: { backend, namespace } } }
  ],
  'GET /api/cache/export': ({ backend, namespace, key }) => ['json', 'ndjson', 'csv'].flatMap((format): Attempt[] => [
    { kind: 'read', request: { method: 'GET', url: '/api/cache/export', query: { backend, namespace, format } } },
    { kind: 'read', request: { method: 'GET', url: '/api/cache/export', query: { backend, namespace, format, pattern: key } } },
    { kind: 'read', request: { method: 'GET', url: '/api/cache/export', query: { backend, namespace: '*', format } } }
  ]),

  'POST /api/cache/set': ({ backend, namespace, key, version }) => [
    { kind: 'write', request: { method: 'POST', url: '/api/cache/set', ...json({ key, backend, namespace, ...entry }) } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/set', query: { backend, namespace }, ...json({ key, ...entry }) } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/set', ...json({ key, backend, namespace, ...entry }, { 'if-none-match': '*' }) } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/set', ...json({ key, backend, namespace, ...entry }, { 'if-match': `"${version}"` }) } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/set', ...json({ key, backend, namespace, lease: 'made-up', ...entry }) } }
  ],
  'POST /api/cache/set-batch': ({ backend, namespace, key }) => [
    { kind: 'entry by entry', request: { method: 'POST', url: '/api/cache/set-batch', ...json([{ key, backend, namespace, ...entry }]) } },
    { kind: 'entry by entry', request: { method: 'POST', url: '/api/cache/set-batch', query: { backend, namespace }, ...json([{ key, ...entry }]) } }
  ],
  'POST /api/cache/warm': ({ backend, namespace, key }) => [
    { kind: 'entry by entry', request: { method: 'POST', url: '/api/cache/warm', query: { backend, namespace }, ...json({ [key]: 'overwritten' }) } }
  ],
  'POST /api/cache/touch': ({ backend, namespace, key }) => [
    { kind: 'write', request: { method: 'POST', url: '/api/cache/touch', ...json({ key, backend, namespace, ttl: 1 }) } }
  ],
  'POST /api/cache/increment': ({ backend, namespace, key }) => [
    { kind: 'write', request: { method: 'POST', url: '/api/cache/increment', ...json({ key, backend, namespace, by: 1 }) } }
  ],
  'DELETE /api/cache/delete/{key}': ({ backend, namespace, key, version }) => [
    { kind: 'write', request: { method: 'DELETE', url: `/api/cache/delete/${key}`, query: { backend, namespace } } },
    { kind: 'write', request: { method: 'DELETE', url: `/api/cache/delete/${key}`, query: { backend, namespace }, headers: { 'if-match': `"${version}"` } } }
  ],
  'POST /api/cache/delete-batch': ({ backend, namespace, key }) => [
    { kind: 'entry by entry', request: { method: 'POST', url: '/api/cache/delete-batch', query: { backend, namespace }, ...json([key]) } }
  ],
  'POST /api/cache/clear': ({ backend, namespace, key }) => queries({}, { pattern: '*' }, { pattern: key }, { pattern: `${key[0]}*` }, { pattern: '[a-z]*' }).flatMap((query): Attempt[] => [
    { kind: 'write', request: { method: 'POST', url: '/api/cache/clear', query: { backend, namespace, ...query } } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/clear', query: { backend: '*', namespace, ...query } } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/clear', query: { backend, namespace, dry_run: 'true', ...query } } }
  ]),
  'POST /api/cache/invalidate': ({ backend, namespace, key, tag }) => [{ tags: [tag] }, { pattern: key }, { pattern: '*' }, { tags: ['no-such-tag'], pattern: key }].map((what): Attempt => (
    { kind: 'write', request: { method: 'POST', url: '/api/cache/invalidate', query: { backend, namespace }, ...json(what) } }
  )).concat([{ tags: [tag] }, { pattern: '*' }].map((what): Attempt => (
    { kind: 'write', request: { method: 'POST', url: '/api/cache/invalidate', query: { backend, namespace, dry_run: 'true' }, ...json(what) } }
  ))),
  'POST /api/cache/import': ({ backend, namespace, key }) => {
    const ndjson = (of: string): string => `${JSON.stringify({ row: 1, key, namespace: of, ...entry, total_items: 1 })}\n`
    const headers = { 'content-type': 'application/x-ndjson' }
    return [
      { kind: 'write', request: { method: 'POST', url: '/api/cache/import', query: { backend }, payload: ndjson(namespace), headers } },
      { kind: 'write', request: { method: 'POST', url: '/api/cache/import', query: { backend, namespace }, payload: ndjson('default'), headers } }
    ]
  },
  'POST /api/cache/config': ({ backend, namespace }) => [
    { kind: 'write', request: { method: 'POST', url: '/api/cache/config', query: { backend }, ...json({ max_items: 1 }) } },
    { kind: 'write', request: { method: 'POST', url: '/api/cache/config', query: { backend: 'memory', namespace }, ...json({ max_items: 1, max_memory: 1000 }) } }
  ]
}

/** The cache API's routes, as the document has them. */
export function cacheRoutesOf (app: FastifyInstance): string[] {
  const { paths = {} } = app.swagger() as { paths?: Record<string, object> }
  return Object.entries(paths).filter(([path]) => path.startsWith('/api/cache'))
    .flatMap(([path, operations]) => Object.keys(operations).map((method) => `${method.toUpperCase()} ${path}`)).sort()
}

const everything = ['cache:*', 'config:*', 'items:*', 'products:*', 'users:*', 'posts:*', 'metrics:read']
const principal = (name: string, limits: Partial<Principal>): Principal =>
  ({ kind: 'api_key', id: `key:${name}`, scopes: ScopeSet.of(everything), ...limits })

export const PRINCIPALS = {
  a: principal('a', { namespaces: new Set(['tenant-a']) }),
  b: principal('b', { namespaces: new Set(['tenant-b']) }),
  part: principal('part', { resources: new ResourceList(['cache/shared/user:*', 'cache/tenant-a/one', 'config/*', 'products/1', 'items/*']) }),
  both: principal('both', { namespaces: new Set(['tenant-a']), resources: new ResourceList(['cache/*']) }),
  all: principal('all', { resources: new ResourceList(['*']) })
}
export type Name = keyof typeof PRINCIPALS | 'administrator'

/** The complete service, which knows the principals above by `test_<name>`. */
export async function startTenants (owner: Owner, env: Record<string, string> = {}): Promise<Tenants> {
  const app = await startApp(owner, { CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR, SAMPLE_DATA: 'true', ...env })
  app.gatekeeper.add({
    recognises: (credential) => credential.startsWith('test_'),
    authenticate: (credential) => {
      const found = (PRINCIPALS as Record<string, Principal>)[credential.slice('test_'.length)]
      if (found === undefined) throw badCredential('unknown in this test')
      return found
    }
  })
  return new Tenants(app)
}

export class Tenants {
  readonly app: FastifyInstance

  constructor (app: FastifyInstance) { this.app = app }

  async as (name: Name, request: Attempt['request']): Promise<LightMyRequestResponse> {
    const credential = name === 'administrator' ? ADMINISTRATOR : `test_${name}`
    return await this.app.inject({ ...request as InjectOptions, headers: { ...request.headers, 'x-api-key': credential } })
  }

  /** Stores as the administrator and answers the version. */
  async set (backend: string, namespace: string, key: string, value: unknown, more: object = {}): Promise<string> {
    const response = await this.as('administrator', {
      method: 'POST', url: '/api/cache/set', ...json({ key, value, ttl: 0, backend, namespace, ...more })
    })
    return response.json<{ version: string }>().version
  }

  /** What was counted in a namespace. */
  async counts (backend: string, namespace: string): Promise<object> {
    const { body } = await this.as('administrator', { method: 'GET', url: '/api/cache/stats', query: { backend, namespace } })
    const { hits, misses, sets, deletes, invalidations, coalesced, items } = (JSON.parse(body) as { raw_stats: Record<string, number> }).raw_stats
    return { hits, misses, sets, deletes, invalidations, coalesced, items }
  }

  /** Everything there is in a namespace. Outside memory times are read off another clock, and uses are written later. */
  async snapshot (backend: string, namespace: string): Promise<object[]> {
    const { body } = await this.as('administrator', { method: 'GET', url: '/api/cache/export', query: { backend, namespace } })
    const { entries } = JSON.parse(body) as { entries: ExportedEntry[] }
    return entries.map(({ created_at: created, accessed_at: accessed, access_count: uses, ...rest }) =>
      backend === 'memory' ? { ...rest, created, accessed, uses } : rest).sort((a, b) => a.key < b.key ? -1 : 1)
  }
}

/** What of an answer may depend on anything: all of it but the time and the request's id. */
export function visible (response: LightMyRequestResponse): object {
  const { statusCode, headers, body } = response
  const shown = Object.entries(headers).map(([name, value]) => [name, withoutCursor(String(value))] as const).filter(([name]) => !/^(?:date|x-request-id|content-length|.*ratelimit.*)$/.test(name))
  const text = withoutCursor(body).replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '(time)').replace(/"window_seconds":[\d.]+/g, '"window_seconds":0')
    .replace(/"instance":"[\w-]+"/, '"instance":"(id)"')
    // One more period a minute: the empty ones are all alike.
    .replace(/"(minutes|hours)":\[(.*?)\]/g, (_, name: string, periods: string) => `"${name}":${JSON.stringify([...new Set(periods.split(/(?<=\}),/))])}`)
  return { statusCode, headers: Object.fromEntries(shown), text }
}

/** A sealed cursor is another one each time, of the same length. */
const withoutCursor = (text: string): string => text.replace(/("next_cursor":"|cursor=)([\w-]+)/g, (_, name: string, cursor: string) => `${name}(${cursor.length})`)

/** Two callers, one of another namespace and one of other keys of the same, each before and after there is something to be hidden. */
export async function crossOvers (t: Test, tenants: Tenants, backend: string): Promise<void> {
  await t.test(`nothing of another namespace shows or changes on ${backend}`, async (t) => {
    await tenants.set(backend, 'tenant-a', 'own', 'own value')
    await crossOver(t, tenants, backend, 'a', 'tenant-b', 'secret')
  })
  await t.test(`nothing of the other keys of a namespace shows or changes on ${backend}`, async (t) => {
    await tenants.set(backend, 'shared', 'user:1', 'own value')
    await tenants.set(backend, 'shared', 'user:2', 'own value')
    await crossOver(t, tenants, backend, 'part', 'shared', 'other')
  })
}

/** Holds every attempt of a caller to: nothing of what is not theirs shows, and nothing of it changes. */
async function crossOver (t: Test, tenants: Tenants, backend: string, name: Name, namespace: string, key: string): Promise<void> {
  const foreign: Foreign = { backend, namespace, key, version: 'none', tag: 'confidential-tag' }
  const run = async (): Promise<Map<string, { attempt: Attempt, answer: LightMyRequestResponse }>> => {
    const answers = new Map<string, { attempt: Attempt, answer: LightMyRequestResponse }>()
    for (const [route, attempts] of Object.entries(ATTEMPTS)) {
      for (const [index, attempt] of attempts(foreign).entries()) {
        answers.set(`${route} (${index})`, { attempt, answer: await tenants.as(name, attempt.request) })
      }
    }
    return answers
  }
  const without = await run()
  foreign.version = await tenants.set(backend, namespace, key, 'the-secret-value', { metadata: { tags: [foreign.tag] } })
  for (let index = 0; index < 20; index++) await tenants.set(backend, namespace, `${key}:${index}`, 'the-secret-value', { metadata: { tags: [foreign.tag] } })
  for (let read = 0; read < 5; read++) await tenants.as('administrator', { method: 'GET', url: `/api/cache/get/${key}`, query: { backend, namespace } })
  const before = { entries: await tenants.snapshot(backend, namespace), counts: await tenants.counts(backend, namespace) }
  const denied: string[] = []
  tenants.app.gatekeeper.onDenial(({ principal, error }) => { denied.push(`${principal.id} ${error.statusCode}`) })
  const withThem = await run()

  for (const [what, { attempt: { kind }, answer }] of withThem) {
    t.strictSame(visible(answer), visible(without.get(what)!.answer), `${what} does not tell whether there is anything`)
    t.notMatch(answer.body, /the-secret-value|confidential-tag/, what)
    if (kind === 'read') t.ok(answer.statusCode === 200, `${what} finds nothing, and that is no error`)
    else if (kind === 'entry by entry') t.ok(isRefused(answer), `${what} is refused`)
    else t.equal(answer.statusCode, 403, `${what} is refused`)
  }
  t.strictSame({ entries: await tenants.snapshot(backend, namespace), counts: await tenants.counts(backend, namespace) }, before, 'nothing of it has changed, its uses and its statistics included')
  const refused = [...withThem.values()].filter(({ attempt: { kind } }) => kind !== 'read').length
  t.strictSame(denied, Array.from({ length: refused }, () => `key:${name} 403`), 'each refusal is told once')
}

function isRefused (answer: LightMyRequestResponse): boolean {
  if (answer.statusCode === 403) return true
  return answer.json<{ results: { error?: { status: number } }[] }>().results.every(({ error }) => error?.status === 403)
}
