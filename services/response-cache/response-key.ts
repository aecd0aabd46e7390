import { createHash } from 'node:crypto'

/** A part of a path that stands as it is, or the name of the parameter in its place. */
type Part = { text: string } | { parameter: string }

/** Paths of whole-segment parameters and a wildcard at the end; any other is taken from the address as it was sent. */
const SIMPLE = /^(?:\/(?::[A-Za-z0-9_]+\??|[^/:*()?]*))*(?:\*)?$/

/**
 * The names of a route's responses: `GET:/api/posts/`, the path as the route is written, with its parameters in place, however the
 * address was spelled; behind it the query, sorted.
 */
export class ResponseKeys {
  readonly #parts: readonly Part[] | undefined
  readonly #constant: string | undefined
  readonly #path: string

  /** @param path as the route is written, with its prefix */
  constructor (path: string) {
    this.#path = path
    this.#parts = SIMPLE.test(path) ? partsOf(path) : undefined
    this.#constant = this.#parts?.every((part) => 'text' in part) === true ? `GET:${path}` : undefined
  }

  /** The name without the query. */
  path (url: string, params: unknown): string {
    if (this.#constant !== undefined) return this.#constant
    if (this.#parts === undefined) return `GET:${spelled(pathOf(url), this.#path)}`
    let key = 'GET:'
    for (const part of this.#parts) {
      if ('text' in part) key += part.text
      else key += escaped(String((params as Record<string, string | number>)[part.parameter] ?? ''), part.parameter === '*')
    }
    return key
  }
}

/** The query of an address as part of a name, with its `?`; empty where there is none. `nocache` is no part of it. */
export function sortedQuery (url: string): string {
  const start = url.indexOf('?')
  if (start === -1 || start === url.length - 1) return ''
  const raw = url.slice(start + 1)
  try {
    decodeURIComponent(raw)
  } catch {
    // Two escapes that are not UTF-8 would come out the same.
    const pieces = raw.split('&').filter((piece) => piece !== '' && !/^nocache(?:=|$)/.test(piece)).map((piece, at) => ({ name: piece.split('=', 1)[0] as string, piece, at }))
    return queryOf(pieces.sort((a, b) => a.name < b.name ? -1 : a.name > b.name ? 1 : a.at - b.at).map(({ piece }) => piece).join('&'))
  }
  const parameters = new URLSearchParams(raw)
  parameters.delete('nocache')
  parameters.sort()
  return queryOf(parameters.toString())
}

/**
 * The name of one of several responses under a name. No name of a path has a space.
 * @param values that tell it from the others
 */
export function variantKey (key: string, values: readonly (string | undefined)[]): string {
  const digest = createHash('sha256').update(JSON.stringify(values.map((value) => value ?? null))).digest('base64url')
  return `${key} ${digest.slice(0, 22)}`
}

const queryOf = (query: string): string => query === '' ? '' : `?${query}`

function partsOf (path: string): Part[] {
  return path.split(/((?<=\/):[A-Za-z0-9_]+\??|\*$)/).filter((text) => text !== '').map((text): Part => {
    if (text === '*') return { parameter: '*' }
    return text.startsWith(':') ? { parameter: text.slice(1).replace('?', '') } : { text }
  })
}

/** A parameter as a path has it: what would end it, and what is no printable ASCII, in percent escapes. */
function escaped (value: string, hasSlashes: boolean): string {
  if (/^[\w.~:@!$&'()*+,;=-]*$/.test(value)) return value
  const text = encodeURIComponent(value).replace(/%(?:3A|40|24|26|2B|2C|3B|3D)/g, decodeURIComponent)
  return hasSlashes ? text.replaceAll('%2F', '/') : text
}

function pathOf (url: string): string {
  const end = url.indexOf('?')
  return end === -1 ? url : url.slice(0, end)
}

/** Each part decoded and escaped again, with a slash at the end where the route has one. */
function spelled (path: string, route: string): string {
  const bare = path.replace(/\/+$/, '').split('/').map((part) => {
    try {
      return escaped(decodeURIComponent(part), false)
    } catch {
      return part
    }
  }).join('/')
  return route.endsWith('/') || bare === '' ? `${bare}/` : bare
}
