import t from 'tap'
import { compileGlob } from '../../../services/cache/glob.js'
import { Random } from './random.js'

/** The same language, the slow and obvious way: every star is tried at every place. */
function naive (pattern: string[], key: string[]): boolean {
  const [first, ...rest] = pattern
  if (first === undefined) return key.length === 0
  if (first === '*') return key.some((_, at) => naive(rest, key.slice(at))) || naive(rest, [])
  if (first === '[') {
    const set = naiveSet(rest)
    if (set !== undefined) return key.length > 0 && set.has(key[0] as string) && naive(set.rest, key.slice(1))
  }
  if (key.length === 0) return false
  if (first === '?') return naive(rest, key.slice(1))
  if (first === '\\' && rest.length > 0) return key[0] === rest[0] && naive(rest.slice(1), key.slice(1))
  return key[0] === first && naive(rest, key.slice(1))
}

function naiveSet (after: string[]): { has: (character: string) => boolean, rest: string[] } | undefined {
  const queue = [...after]
  const negated = queue[0] === '^'
  if (negated) queue.shift()
  const take = (): string | undefined => {
    const character = queue.shift()
    return character === '\\' && queue.length > 0 ? queue.shift() : character
  }
  const ranges: [string, string][] = []
  while (queue.length > 0) {
    if (queue[0] === ']') {
      const within = (character: string): boolean => ranges.some(([low, high]) => character >= low && character <= high)
      return { has: (character) => within(character) !== negated, rest: queue.slice(1) }
    }
    const from = take() as string
    let to = from
    if (queue[0] === '-' && queue.length > 1 && queue[1] !== ']') {
      queue.shift()
      to = take() as string
    }
    ranges.push(from <= to ? [from, to] : [to, from])
  }
  return undefined
}

t.test('stars, question marks, sets and escapes', async (t) => {
  const cases: [pattern: string, matching: string[], others: string[]][] = [
    ['', [''], ['a']],
    ['*', ['', 'a', 'a:b/c\n'], []],
    ['**', ['', 'a'], []],
    ['abc', ['abc'], ['', 'ab', 'abcd', 'ABC']],
    ['user:*', ['user:', 'user:1', 'user:*'], ['user', 'xuser:1']],
    ['*:1', [':1', 'user:1', ':1:1'], ['user:12', '1']],
    ['u*r:*', ['ur:', 'user:1', 'urr:r:'], ['user', 'us:1']],
    ['*a*b*', ['ab', 'xaxbx', 'aab'], ['ba', 'a', 'b']],
    ['?', ['a', '*', '?'], ['', 'ab']],
    ['a?c', ['abc', 'a?c'], ['ac', 'abbc']],
    ['?*', ['a', 'ab'], ['']],
    ['[abc]', ['a', 'c'], ['', 'd', 'ab', '[abc]']],
    ['[a-c]x', ['ax', 'bx'], ['dx', '-x']],
    ['[c-a]', ['a', 'b', 'c'], ['d', '-']],
    ['[^a-c]', ['d', '^', '-'], ['a', 'b', '']],
    ['[a^]', ['a', '^'], ['b']],
    ['[a-]', ['a', '-'], ['b']],
    ['[-a]', ['a', '-'], ['b']],
    ['[\\]]', [']'], ['\\', '[']],
    ['[\\a-\\c]', ['b'], ['\\', '-']],
    ['[]', [], ['', ']', '[', '[]']],
    ['[^]', ['a', ']'], ['']],
    ['[*?]', ['*', '?'], ['a']],
    ['[abc', ['[abc'], ['a', '[']],
    ['a[', ['a['], ['a']],
    ['[a-', ['[a-'], ['a']],
    ['[*', ['[', '[x'], ['x']],
    ['\\*', ['*'], ['a', '\\*', '']],
    ['a\\?', ['a?'], ['ab']],
    ['\\[a]', ['[a]'], ['a']],
    ['\\\\*', ['\\', '\\a'], ['a']],
    ['a\\', ['a\\'], ['a']],
    ['a.c', ['a.c'], ['abc']],
    ['(a|b)+', ['(a|b)+'], ['a', 'ab']],
    ['a\n*', ['a\n', 'a\nb\n'], ['a']],
    ['?', ['😀', 'é'], ['😀😀', 'e\u0301']],
    ['[😀-😂]', ['😁'], ['😃', '\ud83d']],
    ['*😀', ['😀', '😁😀'], ['😁', '😀😁']],
    ['😀?', ['😀😁', '😀a'], ['😀', 'a😀']],
    ['[^a]', ['😀'], ['😀a']],
    ['__proto__*', ['__proto__', '__proto__x'], ['proto']]
  ]
  for (const [pattern, matching, others] of cases) {
    const matches = compileGlob(pattern)
    for (const key of matching) t.ok(matches(key), `${JSON.stringify(pattern)} matches ${JSON.stringify(key)}`)
    for (const key of others) t.notOk(matches(key), `${JSON.stringify(pattern)} does not match ${JSON.stringify(key)}`)
  }
})

t.test('small patterns and keys at random match as in a naive matcher', async (t) => {
  const random = new Random()
  const text = (alphabet: string[], longest: number): string[] => Array.from({ length: random.below(longest + 1) }, () => random.pick(alphabet))
  const differences: unknown[] = []
  let matched = 0
  for (let round = 0; round < 20_000; round++) {
    const pattern = text(['a', 'b', 'c', '😀', '*', '*', '?', '[', ']', '-', '^', '\\'], 8)
    const matches = compileGlob(pattern.join(''))
    for (let tries = 0; tries < 3; tries++) {
      const key = text(['a', 'b', 'c', '😀', '[', '*', '-'], 6)
      const expected = naive(pattern, key)
      if (expected) matched++
      if (matches(key.join('')) !== expected) differences.push({ pattern: pattern.join(''), key: key.join(''), expected })
    }
  }
  t.strictSame(differences.slice(0, 5), [], `seed ${random.seed}`)
  t.ok(matched > 1000, `${matched} of them match`)
})

t.test('hostile patterns take time that is bounded by key times pattern', async (t) => {
  const keys = Array.from({ length: 10_000 }, (_, at) => 'a'.repeat(245) + String(at).padStart(5, '0'))
  for (const pattern of ['*a'.repeat(62) + '*b', 'a*'.repeat(62) + 'b', `${'*'.repeat(62)}b`, '*?'.repeat(62) + 'b', '*[^b]'.repeat(62) + 'b']) {
    const matches = compileGlob(pattern)
    const started = performance.now()
    t.notOk(keys.some((key) => matches(key)), pattern.slice(0, 20))
    const took = performance.now() - started
    t.ok(took < 5000, `${took.toFixed(0)} ms`)
  }
  const huge = 'x'.repeat(500_000)
  t.ok(compileGlob(huge)(huge), 'a pattern of half a million letters')
  t.ok(compileGlob(`${huge}*`)(`${huge}y`), 'and with a star')
})
