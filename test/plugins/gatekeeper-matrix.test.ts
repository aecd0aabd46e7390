import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import type { IssuedApiKey } from '../../schemas/keys.js'
import type { TableRoute } from '../../services/access/route-table.js'
import { ACTIONS, PERMISSIONS, RESOURCES } from '../../services/access/scopes.js'
import { bodyOf, openApp } from '../routes/sample-app.js'
import { databaseUrl } from '../support/servers.js'
import { temporaryFolder } from '../support/temporary-folder.js'

const ADMINISTRATOR = 'the-administrators-own-key'

/** What the gate says to a caller: 0 where it lets them through, whatever the route says then. */
type Decision = 0 | 401 | 403

/**
 * Asks every route of the application, whatever those are, without a body: what gets through fails on that, at worst. A denial of the
 * gate is told by its challenge.
 */
async function decisions (
  t: Test, app: FastifyInstance, headers: Record<string, string>, expected: (route: TableRoute) => Decision, who: string, routes = app.gatekeeper.table.all()
): Promise<void> {
  const wrong: string[] = []
  for (const route of routes) {
    const { method, path } = route
    const url = path.replaceAll(/:(\w+)/g, 'x').replaceAll('*', 'x')
    // A stream of events that is let through would never end.
    const answer = await app.inject({ method, url, headers: { accept: 'application/json', ...headers, 'if-none-match': '*' } } as InjectOptions)
    const decision = answer.headers['www-authenticate'] === undefined ? 0 : answer.statusCode
    if (decision !== expected(route)) wrong.push(`${method} ${path}: ${decision} instead of ${expected(route)} (${answer.statusCode})`)
  }
  t.strictSame(wrong, [], who)
}

const isOpen = ({ demand: { permission } }: TableRoute): boolean => permission === 'public'

t.test('every route x every caller, with credentials required', async (t) => {
  const app = await openApp(t, { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_METRICS_ENABLED: 'false', CACHE_AUTH_ENABLED: 'true', CACHE_API_KEY: ADMINISTRATOR })
  const issue = async (wanted: object): Promise<string> => bodyOf<IssuedApiKey>(await app.inject({
    method: 'POST', url: '/keys', headers: { 'x-api-key': ADMINISTRATOR }, payload: wanted
  })).key

  t.ok(PERMISSIONS.every((permission) => permission === 'valet:issue' || RESOURCES.some((name) => ACTIONS.some((action) => permission === `${name}:${action}`))))
  t.ok(app.gatekeeper.table.all().length > 60)
  await decisions(t, app, {}, (route) => isOpen(route) ? 0 : 401, 'no credential')
  const wrong = ['wrong', 'larder_nothing', 'a.b.c', `${ADMINISTRATOR}.`, (await issue({ scopes: ['*'] })).replace(/_[^_]{6}$/, '_000000')]
  for (const bad of wrong) await decisions(t, app, { 'x-api-key': bad }, () => 401, 'a bad credential')
  await decisions(t, app, { authorization: `Bearer ${wrong[1]}` }, () => 401, 'a bad credential')
  await decisions(t, app, { 'x-api-key': ADMINISTRATOR }, () => 0, 'the administrator')
  for (const permission of PERMISSIONS) {
    const key = await issue({ scopes: [permission] })
    await decisions(t, app, { 'x-api-key': key }, (route) => isOpen(route) || route.demand.permission === permission ? 0 : 403, permission)
    // What is forbidden is, whatever permits it.
    const its = app.gatekeeper.table.all().filter((route) => route.demand.permission === permission)
    if (its.length === 0) continue
    const but = await issue({ scopes: ['*'], forbid: [permission] })
    await decisions(t, app, { authorization: `Bearer ${but}` }, () => 403, `all but ${permission}`, its)
  }
})

t.test('every route x every caller, in development', async (t) => {
  const app = await openApp(t, { DATABASE_URL: await databaseUrl(t), DATA_DIR: temporaryFolder(t), CACHE_METRICS_ENABLED: 'false', CACHE_API_KEY: ADMINISTRATOR })
  const guarded = ({ demand: { permission } }: TableRoute) => permission.startsWith('recipes:')
  await decisions(t, app, {}, (route) => guarded(route) ? 401 : 0, 'a local caller')
  await decisions(t, app, { 'x-api-key': ADMINISTRATOR }, () => 0, 'the administrator')
  await decisions(t, app, { 'x-api-key': 'wrong' }, () => 401, 'a bad credential')
})
