/** The directives of a Cache-Control header (RFC 9111, section 5.2), by lower-case name; null where one came without an argument. */
export type Directives = ReadonlyMap<string, string | null>

/** A name, and an argument as a token or between quotes. What is neither is passed over, as unknown directives are. */
const DIRECTIVE = /([!#$%&'*+.^_`|~\w-]+)(?:\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,";]*)))?\s*(?:,|$)|[^,]*(?:,|$)/y
const NONE: Directives = new Map()
/** Seconds; more than a cache need tell apart (RFC 9111, section 1.2.2). */
export const LONGEST = 2 ** 31

/** Reads a header. Where a directive comes twice, the first holds (section 4.2.1). */
export function parseDirectives (header: string | undefined): Directives {
  if (header === undefined) return NONE
  const directives = new Map<string, string | null>()
  DIRECTIVE.lastIndex = 0
  let position = 0
  while (position < header.length) {
    while (header[position] === ' ' || header[position] === '\t' || header[position] === ',') position++
    DIRECTIVE.lastIndex = position
    const match = DIRECTIVE.exec(header)
    if (match === null || match[0] === '') break
    position = DIRECTIVE.lastIndex
    const name = match[1]?.toLowerCase()
    if (name !== undefined && !directives.has(name)) directives.set(name, match[2]?.replace(/\\(.)/g, '$1') ?? match[3] ?? null)
  }
  return directives
}

/**
 * The seconds that a directive gives; undefined when it is not there. What is no number of seconds is taken as 0: who is not
 * understood gets nothing old.
 */
export function secondsOf (directives: Directives, name: string): number | undefined {
  const argument = directives.get(name)
  if (argument === undefined) return undefined
  return argument !== null && /^\d+$/.test(argument) ? Math.min(Number(argument), LONGEST) : 0
}
