const LITERAL = 0
const ANY = 1
const SET = 2
const STAR = 3

interface CharacterSet { negated: boolean, ranges: [from: number, to: number][] }
interface Token { kind: number, code: number, set: CharacterSet | undefined }

/** Tells whether a key matches. */
export type Matcher = (key: string) => boolean

/**
 * Compiles a glob: `*` any run of characters, `?` one, `[abc]`, `[a-z]`, `[^abc]` one of a set, `\` takes the next character
 * as it is. An unclosed `[` stands for itself.
 *
 * Matching keeps two positions and goes back to the last star only, so its time is bounded by key × pattern whatever the input;
 * a translation to regular expressions would be exponential in the stars.
 */
export function compileGlob (pattern: string): Matcher {
  const tokens = tokenize(pattern)
  const star = tokens.findIndex((token) => token.kind === STAR)
  const plain = tokens.every((token) => token.kind === LITERAL || token.kind === STAR)
  if (plain && star === tokens.length - 1 && star !== -1) {
    const prefix = text(tokens.slice(0, -1))
    return prefix === '' ? () => true : (key) => key.startsWith(prefix)
  }
  if (plain && star === -1) {
    const exact = text(tokens)
    return (key) => key === exact
  }
  return (key) => matches(tokens, key)
}

/** Tells which keys a query is about: those that match the pattern and lie within; undefined when that is every key. */
export function matcherOf ({ pattern, within }: { pattern?: string | undefined, within?: Matcher | undefined }): Matcher | undefined {
  if (pattern === undefined) return within
  const matches = compileGlob(pattern)
  return within === undefined ? matches : (key) => matches(key) && within(key)
}

/** How every key begins that matches the glob; `isWhole` when only that one key matches. */
export function beginningOf (pattern: string): { text: string, isWhole: boolean } {
  const tokens = tokenize(pattern)
  const end = tokens.findIndex(({ kind }) => kind !== LITERAL)
  return end === -1 ? { text: text(tokens), isWhole: true } : { text: text(tokens.slice(0, end)), isWhole: false }
}

const text = (literals: Token[]): string => literals.map(({ code }) => String.fromCodePoint(code)).join('')

function tokenize (pattern: string): Token[] {
  const characters = Array.from(pattern, (character) => character.codePointAt(0) as number)
  const tokens: Token[] = []
  for (let at = 0; at < characters.length; at++) {
    const code = characters[at] as number
    if (code === 0x2a) {
      if (tokens.at(-1)?.kind !== STAR) tokens.push({ kind: STAR, code, set: undefined })
    } else if (code === 0x3f) {
      tokens.push({ kind: ANY, code, set: undefined })
    } else if (code === 0x5c && at + 1 < characters.length) {
      tokens.push({ kind: LITERAL, code: characters[++at] as number, set: undefined })
    } else {
      const parsed = code === 0x5b ? characterSet(characters, at + 1) : undefined
      if (parsed === undefined) {
        tokens.push({ kind: LITERAL, code, set: undefined })
      } else {
        tokens.push({ kind: SET, code, set: parsed.set })
        at = parsed.end
      }
    }
  }
  return tokens
}

function characterSet (characters: number[], start: number): { set: CharacterSet, end: number } | undefined {
  let at = start
  const negated = characters[at] === 0x5e
  if (negated) at++
  const ranges: [number, number][] = []
  for (; at < characters.length; at++) {
    let from = characters[at] as number
    if (from === 0x5d) return { set: { negated, ranges }, end: at }
    if (from === 0x5c && at + 1 < characters.length) from = characters[++at] as number
    let to = from
    if (characters[at + 1] === 0x2d && at + 2 < characters.length && characters[at + 2] !== 0x5d) {
      at += 2
      to = characters[at] as number
      if (to === 0x5c && at + 1 < characters.length) to = characters[++at] as number
    }
    ranges.push(from <= to ? [from, to] : [to, from])
  }
  return undefined
}

function accepts (token: Token, code: number): boolean {
  if (token.kind === LITERAL) return token.code === code
  if (token.kind === ANY) return true
  const { negated, ranges } = token.set as CharacterSet
  for (const [from, to] of ranges) if (code >= from && code <= to) return !negated
  return negated
}

function matches (tokens: Token[], key: string): boolean {
  let token = 0
  let at = 0
  let starToken = -1
  let starAt = 0
  while (at < key.length) {
    const current = tokens[token]
    if (current?.kind === STAR) {
      starToken = token++
      starAt = at
      continue
    }
    const code = key.codePointAt(at) as number
    if (current !== undefined && accepts(current, code)) {
      token++
      at += code > 0xffff ? 2 : 1
    } else if (starToken === -1) {
      return false
    } else {
      token = starToken + 1
      starAt += (key.codePointAt(starAt) as number) > 0xffff ? 2 : 1
      at = starAt
    }
  }
  while (tokens[token]?.kind === STAR) token++
  return token === tokens.length
}
