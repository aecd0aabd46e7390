import fc from 'fast-check'
import t from 'tap'
import { checkPatternAccess, keysWithin, namespacesOf, seesCache, seesWhole } from '../../../services/access/access.js'
import { seesKey, seesNamespace, type Principal } from '../../../services/access/principal.js'
import { ResourceList } from '../../../services/access/resources.js'
import { ScopeSet } from '../../../services/access/scopes.js'
import { compileGlob } from '../../../services/cache/glob.js'

const principal = (resources?: string[], namespaces?: string[]): Principal => ({
  kind: 'valet_key',
  id: 'valet:1',
  scopes: ScopeSet.of(['*']),
  ...(resources && { resources: new ResourceList(resources) }),
  ...(namespaces && { namespaces: new Set(namespaces) })
})
const permits = (check: () => void): boolean => {
  try {
    check()
    return true
  } catch (error) {
    if ((error as { statusCode?: number }).statusCode !== 403) throw error
    return false
  }
}

void t.test('what a principal reaches of the cache', async (t) => {
  await t.test('is all of it, all of a namespace, or a part', async (t) => {
    const cases: [who: Principal, cache: boolean, whole: boolean, some: boolean][] = [
      [principal(), true, true, true],
      [principal(undefined, ['a']), false, true, true],
      [principal(undefined, ['b']), false, false, false],
      [principal(undefined, []), false, false, false],
      [principal(['*']), true, true, true],
      [principal(['cache/*']), true, true, true],
      [principal(['cache/a/*']), false, true, true],
      [principal(['cache/a*']), false, true, true],
      [principal(['cache/a/']), false, false, true],
      [principal(['cache/a/user:*']), false, false, true],
      [principal(['cache/ab/*']), false, false, false],
      [principal(['items/*']), false, false, false],
      [principal([]), false, false, false],
      [principal(['cache/*'], ['b']), false, false, false],
      [principal(['cache/a/*'], ['a', 'b']), false, true, true]
    ]
    for (const [who, cache, whole, some] of cases) {
      t.strictSame([seesCache(who), seesWhole(who, 'a'), seesNamespace(who, 'a')], [cache, whole, some], JSON.stringify([who.resources?.patterns, [...who.namespaces ?? []]]))
    }
  })

  await t.test('has names where they can be told', async (t) => {
    t.strictSame(namespacesOf(principal(undefined, ['b', 'a'])), ['a', 'b'])
    t.strictSame(namespacesOf(principal(['cache/a/x', 'cache/b/*', 'items/*'])), ['a', 'b'])
    t.strictSame(namespacesOf(principal(['cache/a/x'], ['a', 'b'])), ['a'])
    t.strictSame(namespacesOf(principal(['items/7'])), [])
    for (const open of ['*', 'c*', 'cache*', 'cache/*', 'cache/te*']) t.equal(namespacesOf(principal([open])), undefined, open)
  })

  await t.test('a pattern of resources does not lead out of itself', async (t) => {
    const who = principal(['cache/a/img/*'])
    t.ok(seesKey(who, 'a', 'img/x'))
    t.ok(seesKey(who, 'a', 'img/./x/../y'))
    for (const key of ['img', 'imgx', 'img/../x', 'img/x/../../y', '../a/img/x']) t.notOk(seesKey(who, 'a', key), key)
  })

  await t.test('a glob is permitted only when all that it could match is, and then nothing else is met', async (t) => {
    const character = fc.constantFrom('a', 'b', ':')
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*', '?', '[ab]', '\\*', '\\'), minLength: 1, maxLength: 6 })
    const key = fc.string({ unit: fc.constantFrom('a', 'b', ':', '*', '\\'), maxLength: 6 })
    const resources = fc.uniqueArray(fc.tuple(fc.string({ unit: character, maxLength: 3 }), fc.boolean())
      .map(([text, isOpen]) => `cache/a/${text}${isOpen ? '*' : ''}`), { maxLength: 3 })
    let permitted = 0
    fc.assert(fc.property(resources, glob, fc.array(key, { maxLength: 30 }), (patterns, pattern, keys) => {
      const who = principal(patterns)
      if (!permits(() => { checkPatternAccess(who, 'a', pattern) })) return true
      permitted++
      const matches = compileGlob(pattern)
      return keys.every((each) => !matches(each) || seesKey(who, 'a', each))
    }), { numRuns: 5000 })
    t.ok(permitted > 100, `${permitted} are`)
    for (const [pattern, isPermitted] of [['user:*', true], ['user:[0-9]?', true], ['user:', true], ['user', false], ['*', false], ['use?:*', false], ['user\\:*', true]] as const) {
      t.equal(permits(() => { checkPatternAccess(principal(['cache/a/user:*']), 'a', pattern) }), isPermitted, pattern)
    }
  })

  await t.test('nothing is computed for who sees everything', async (t) => {
    t.equal(keysWithin(principal(), 'a'), undefined)
    t.equal(keysWithin(principal(undefined, ['a']), 'a'), undefined)
  })
})
