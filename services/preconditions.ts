import { type Caller, throwIfGone } from './cache/caller.js'
import type { Condition } from './cache/entry.js'
import { PreconditionFailedError } from './cache/errors.js'
import { ChangedSinceError, InvalidInputError } from './errors.js'
import { contentTag } from './http-cache/entity-tags.js'

/** The conditions of a request (RFC 9110, section 13.1): entity tags as they stand in the header, or `*`. */
export interface Preconditions {
  /** If-Match: the state must be one of these; `*` any that exists. */
  match?: '*' | readonly string[]
  /** If-None-Match: the state must be none of these; `*` nothing may exist. */
  noneMatch?: '*' | readonly string[]
}

/** How often a conditional write is tried while others write the same entry. */
const ATTEMPTS = 10
/** One entity tag and what divides it from the next; a comma between its quotes is its own (RFC 9110, sections 5.6.1 and 8.8.3). */
const LISTED_TAG = /((?:W\/)?"[\x21\x23-\x7e\x80-\xff]*")[ \t]*(?:,[ \t,]*|$)/y

/** The strong entity tag of a version. */
export const entityTag = (version: string): string => `"${version}"`

/**
 * Reads If-Match and If-None-Match; undefined when the request has neither.
 * @throws InvalidInputError when one of them is not a list of entity tags
 */
export function parsePreconditions (match: string | undefined, noneMatch: string | undefined): Preconditions | undefined {
  if (match === undefined && noneMatch === undefined) return undefined
  const preconditions: Preconditions = {}
  if (match !== undefined) preconditions.match = parseEntityTags(match, 'If-Match')
  if (noneMatch !== undefined) preconditions.noneMatch = parseEntityTags(noneMatch, 'If-None-Match')
  return preconditions
}

/** Whether a GET with this If-None-Match is answered with 304 (weak comparison, RFC 9110, section 13.1.2). */
export function isNotModified (noneMatch: string, version: string): boolean {
  return matchesTag(noneMatch, entityTag(version))
}

/** Whether an If-None-Match names the entity tag, by weak comparison. */
export function matchesTag (noneMatch: string, tag: string): boolean {
  if (noneMatch === tag) return true
  return noneMatch.trim() === '*' || noneMatch.match(/(?:W\/)?"[^"]*"/g)?.some((other) => opaque(other) === opaque(tag)) === true
}

/**
 * Makes a write under preconditions: as one compare-and-set where they name one state, and otherwise by looking at the
 * version that is there and insisting on it, again when another write came between.
 *
 * @param read the current version, undefined when there is none
 * @param caller once it has gone nothing more is read or written
 * @throws PreconditionFailedError
 */
export async function writeIf<T> (
  preconditions: Preconditions, key: string, read: () => Promise<string | undefined>, write: (condition: Condition) => Promise<T>, caller?: Caller
): Promise<T> {
  const single = singleCondition(preconditions)
  if (single !== undefined) return write(single)
  for (let attempt = 1; ; attempt++) {
    const version = await read()
    if (!holds(preconditions, version === undefined ? undefined : entityTag(version))) throw new PreconditionFailedError(key)
    throwIfGone(caller)
    try {
      return await write(version === undefined ? { absent: true } : { version })
    } catch (error) {
      if (!(error instanceof PreconditionFailedError) || attempt === ATTEMPTS) throw error
      throwIfGone(caller)
    }
  }
}

/** Is shown the state that a write is about to replace, which nobody else can change any more before it. @throws ChangedSinceError */
export type Permit<State> = (state: State) => void

/**
 * What the preconditions of a write ask of the state of a resource whose ETag is that of its content; undefined where there are none.
 * @param what the resource, for its name
 * @param textOf the content that a GET of the state answers, or what of it is data
 * @throws InvalidInputError
 */
export function permitOf<State> (
  { 'if-match': match, 'if-none-match': noneMatch }: Conditional, what: string, textOf: (state: State) => string
): Permit<State> | undefined {
  const preconditions = parsePreconditions(match, noneMatch)
  if (preconditions === undefined) return undefined
  return (state) => {
    if (!holds(preconditions, contentTag(textOf(state)))) throw new ChangedSinceError(what)
  }
}

interface Conditional { 'if-match'?: string | undefined, 'if-none-match'?: string | undefined }

/** The condition that says the same by itself. */
function singleCondition ({ match, noneMatch }: Preconditions): Condition | undefined {
  if (match === undefined && noneMatch === '*') return { absent: true }
  if (noneMatch === undefined && typeof match === 'object' && match.length === 1 && match[0]!.startsWith('"')) {
    return { version: match[0]!.slice(1, -1) }
  }
  return undefined
}

/** If-Match compares strongly, If-None-Match weakly. */
function holds ({ match, noneMatch }: Preconditions, tag: string | undefined): boolean {
  if (tag === undefined) return match === undefined
  if (match !== undefined && match !== '*' && !match.includes(tag)) return false
  return noneMatch === undefined || (noneMatch !== '*' && !noneMatch.some((other) => opaque(other) === tag))
}

function parseEntityTags (header: string, name: string): '*' | string[] {
  if (header.trim() === '*') return '*'
  const list = header.replace(/^[ \t,]+/, '')
  const tags: string[] = []
  let position = 0
  while (position < list.length) {
    LISTED_TAG.lastIndex = position
    const [, tag] = LISTED_TAG.exec(list) ?? []
    if (tag === undefined) throw noTags(name)
    tags.push(tag)
    position = LISTED_TAG.lastIndex
  }
  if (tags.length === 0) throw noTags(name)
  return tags
}

const noTags = (name: string): Error => new InvalidInputError(`${name} must be * or a list of entity tags, as the ETag of an answer has them: "…" with the quotes.`)

const opaque = (tag: string): string => tag.startsWith('W/') ? tag.slice(2) : tag
