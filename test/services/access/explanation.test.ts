import fc from 'fast-check'
import t from 'tap'
import { denialOf, type Demand, type Touches } from '../../../services/access/demand.js'
import { explain } from '../../../services/access/explanation.js'
import type { Principal } from '../../../services/access/principal.js'
import { ResourceList } from '../../../services/access/resources.js'
import { PERMISSIONS, permissionIndex, ScopeSet, type Scope } from '../../../services/access/scopes.js'

interface Case {
  scopes: string[]
  forbid: string[]
  namespaces: string[] | undefined
  resources: string[] | undefined
  scope: Scope
  touches: 'everything' | 'handler' | undefined
  id: string | undefined
  entry: { namespace: string, key: string | undefined } | undefined
}

/** The rules once more, as plainly as they can be said, over nothing but strings. */
function oracle ({ scopes, forbid, namespaces, resources, scope, touches, id, entry }: Case): boolean {
  if (scope === 'public') return true
  const [resource, action] = scope.split(':')
  const held = (list: string[]) => [scope, `${resource}:*`, `*:${action}`, '*:*', '*'].some((each) => list.includes(each))
  if (!held(scopes) || held(forbid)) return false
  const covers = (path: string) => resources === undefined || resources.some((each) => each.endsWith('*') ? path.startsWith(each.slice(0, -1)) : path === each)
  const coversAll = (beginning: string) => resources === undefined || resources.some((each) => each.endsWith('*') && beginning.startsWith(each.slice(0, -1)))
  if (touches === 'everything') return namespaces === undefined && resources === undefined
  if (touches === undefined) return id === undefined ? coversAll(`${resource}/`) : covers(`${resource}/${id}`)
  if (entry === undefined) return true
  if (namespaces?.includes(entry.namespace) === false) return false
  if (entry.key !== undefined) return covers(`cache/${entry.namespace}/${entry.key}`)
  const under = `cache/${entry.namespace}/`
  // Something of it at least.
  return resources === undefined || resources.some((each) => each.startsWith(under) || (each.endsWith('*') && under.startsWith(each.slice(0, -1))))
}

const scope = fc.constantFrom('*', '*:*', '*:read', 'cache:*', 'cache:read', 'cache:write', 'items:read', 'items:*', 'keys:delete', 'valet:issue')
const cases: fc.Arbitrary<Case> = fc.record({
  scopes: fc.uniqueArray(scope, { maxLength: 4 }),
  forbid: fc.uniqueArray(scope, { maxLength: 2 }),
  namespaces: fc.option(fc.uniqueArray(fc.constantFrom('a', 'ab', 'b'), { maxLength: 2 }), { nil: undefined }),
  resources: fc.option(fc.uniqueArray(fc.constantFrom(
    '*', 'cache/*', 'cache/a*', 'cache/a/*', 'cache/a/user:*', 'cache/a/user:1', 'cache/ab/user:1', 'items/*', 'items/7', 'items/7*', 'items/', 'i*'
  ), { maxLength: 3 }), { nil: undefined }),
  scope: fc.constantFrom<Scope>('public', ...PERMISSIONS.filter((each) => /^(?:cache|items|keys):/.test(each))),
  touches: fc.constantFrom('everything' as const, 'handler' as const, undefined),
  id: fc.constantFrom(undefined, '7', '70', '8', 'x'),
  entry: fc.option(fc.record({ namespace: fc.constantFrom('a', 'ab', 'b', 'c'), key: fc.constantFrom(undefined, 'user:1', 'user:12', 'other') }), { nil: undefined })
})

const principalOf = ({ scopes, forbid, namespaces, resources }: Case): Principal => ({
  kind: 'api_key',
  id: 'key:1',
  scopes: ScopeSet.of(scopes, forbid),
  ...(namespaces && { namespaces: new Set(namespaces) }),
  ...(resources && { resources: new ResourceList(resources) })
})
const demandOf = (scope: Scope, touches?: Touches): Demand => ({ permission: scope, index: permissionIndex(scope) ?? -1, touches })

void t.test('decisions', async (t) => {
  await t.test('are those of the rules said plainly, whatever is granted, forbidden and limited, in whatever order', async (t) => {
    let permitted = 0
    const runs = 20_000
    fc.assert(fc.property(cases, (given) => {
      const entry = given.touches === 'handler' ? given.entry : undefined
      const question = { demand: demandOf(given.scope, given.touches), params: given.id === undefined ? {} : { id: given.id }, entry }
      const expected = oracle(given)
      const { isPermitted, rule } = explain(principalOf(given), question)
      if (isPermitted) permitted++
      const turned = explain(principalOf({ ...given, scopes: given.scopes.toReversed(), forbid: given.forbid.toReversed() }), question)
      // What is explained is what happens; entries are left to the handler there.
      const happens = denialOf(principalOf(given), question.demand, question.params) === undefined
      const isLeft = entry !== undefined && rule.startsWith('limited')
      return isPermitted === expected && turned.rule === rule && (isLeft || happens === isPermitted)
    }), { numRuns: runs })
    t.ok(permitted > runs / 20 && permitted < runs / 2, `${permitted} of ${runs} are permitted`)
  })

  await t.test('deny who holds nothing everything but what is public', async (t) => {
    const nobody = principalOf({ scopes: [], forbid: [], namespaces: undefined, resources: undefined, scope: 'public', touches: undefined, id: undefined, entry: undefined })
    for (const permission of PERMISSIONS) t.match(explain(nobody, { demand: demandOf(permission), params: {} }), { isPermitted: false, rule: 'not granted' })
    t.match(explain(nobody, { demand: demandOf('public'), params: {} }), { isPermitted: true, rule: 'public' })
  })

  await t.test('that fail are denials', async (t) => {
    const limited: Principal = { kind: 'api_key', id: 'key:1', scopes: ScopeSet.of(['*']), resources: new ResourceList(['items/*']) }
    const demand = demandOf('items:read', () => { throw new Error('no such thing') })
    t.match(explain(limited, { demand, params: {} }), { isPermitted: false, rule: 'error' })
    t.match(denialOf(limited, demand, {}), { message: 'no such thing' })
  })

  await t.test('name the scope that was granted, and the one rule', async (t) => {
    const of = (scopes: string[], forbid: string[] = []): Principal => ({ kind: 'api_key', id: 'key:1', scopes: ScopeSet.of(scopes, forbid) })
    const demand = demandOf('cache:read')
    t.strictSame(explain(of(['items:read', 'cache:*']), { demand, params: {} }), { isPermitted: true, rule: 'granted', grantedBy: 'cache:*' })
    t.strictSame(explain(of(['*'], ['cache:read']), { demand, params: {} }), { isPermitted: false, rule: 'forbidden', grantedBy: '*' })
    t.strictSame(explain(of(['items:*']), { demand, params: {} }), { isPermitted: false, rule: 'not granted' })
    t.strictSame(explain(of(['*']), { demand: demandOf('public'), params: {}, flaw: 'revoked' }), { isPermitted: false, rule: 'credential revoked' })
  })
})
