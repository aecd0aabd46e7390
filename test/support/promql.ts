/** What a query asks for by name: `name{label="value"}`, as it is written. */
export interface Selector { name: string, text: string, labels: string[] }

/** What a query mentions. */
export interface Mentioned {
  selectors: Selector[]
  /** Labels that it groups or joins by. */
  grouping: string[]
}

const TOKEN = /\s+|"(?:[^"\\]|\\.)*"|\[[^\]]*\]|[a-zA-Z_:][\w:]*|\d+(?:\.\d+)?(?:e[+-]?\d+)?|=~|!~|!=|==|<=|>=|[-+*/%^<>=(){},]/gy
const GROUPING = new Set(['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'])
const WORDS = new Set(['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan'])
/** Behind an aggregation that says its labels first. */
const AGGREGATED = new Set(['by', 'without'])
const NUMBER = /^\d/

/**
 * Finds what a query of Prometheus names, in the part of the language that ours use. Throws at what it cannot read: whether the query is one
 * at all is for Prometheus to say.
 */
export function mentionedIn (query: string): Mentioned {
  const tokens = tokensOf(query)
  const found: Mentioned = { selectors: [], grouping: [] }
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at]!
    if (GROUPING.has(token) && tokens[at + 1] === '(') {
      const end = tokens.indexOf(')', at)
      found.grouping.push(...tokens.slice(at + 2, end).filter((each) => each !== ','))
      at = end
    } else if (/^[a-zA-Z_:]/.test(token) && !WORDS.has(token.toLowerCase()) && !GROUPING.has(token) && tokens[at + 1] !== '(' && !AGGREGATED.has(tokens[at + 1] ?? '')) {
      if (tokens[at - 1] === 'offset') continue
      const end = tokens[at + 1] === '{' ? tokens.indexOf('}', at) : at
      const matchers = tokens.slice(at + 2, end)
      found.selectors.push({
        name: token,
        text: tokens.slice(at, end + 1).join(''),
        labels: matchers.filter((each, place) => /^[a-zA-Z_]/.test(each) && /^[=!]/.test(matchers[place + 1] ?? ''))
      })
      at = end
    }
  }
  return found
}

function tokensOf (query: string): string[] {
  const tokens: string[] = []
  let end = 0
  TOKEN.lastIndex = 0
  for (let found = TOKEN.exec(query); found !== null; found = TOKEN.exec(query)) {
    if (found[0].trim() !== '') tokens.push(found[0])
    end = TOKEN.lastIndex
  }
  if (end !== query.length) throw new Error(`what is this? ${query.slice(end)}`)
  // `1h` behind `offset` is a number and a letter here.
  return tokens.filter((token, at) => !(/^[smhdwy]$/.test(token) && NUMBER.test(tokens[at - 1] ?? '')))
}
