import type { Demand } from './demand.js'

export interface TableRoute { method: string, path: string, demand: Demand }
export interface FoundRoute extends TableRoute { params: Record<string, string> }

/** What every route demands, found by the address of a request. It is there to be asked about: requests go by the router's own order. */
export class RouteTable {
  readonly #routes: TableRoute[] = []

  add (route: TableRoute): void { this.#routes.push(route) }

  /** All of them, in the order in which they came. What they demand is known once the service is ready. */
  all (): readonly TableRoute[] { return this.#routes }

  /** @param path as it is sent, without its query */
  find (method: string, path: string): FoundRoute | undefined {
    const found = this.#routes.filter((route) => route.method === method).flatMap((route) => {
      const params = match(route.path, path)
      return params === undefined ? [] : [{ ...route, params }]
    })
    // As in the router, what is written out goes before what is left open, the rest of a path last.
    return found.sort((a, b) => Number(openness(a.path) > openness(b.path)) - Number(openness(a.path) < openness(b.path)))[0]
  }
}

const segmentsOf = (path: string): string[] => path.replace(/(?<=.)\/$/, '').split('/')

const openness = (pattern: string): string => segmentsOf(pattern).map((segment) => segment.startsWith('*') ? '2' : segment.startsWith(':') ? '1' : '0').join('')

function match (pattern: string, path: string): Record<string, string> | undefined {
  const [asked, given] = [segmentsOf(pattern), segmentsOf(path)]
  const params: Record<string, string> = {}
  for (const [at, segment] of asked.entries()) {
    if (segment === '*') return { ...params, '*': given.slice(at).join('/') }
    const text = decoded(given[at])
    if (text === undefined || (!segment.startsWith(':') && text !== segment) || text === '' !== (segment === '')) return undefined
    if (segment.startsWith(':')) params[segment.slice(1)] = text
  }
  return asked.length === given.length ? params : undefined
}

function decoded (segment: string | undefined): string | undefined {
  try {
    return segment === undefined ? undefined : decodeURIComponent(segment)
  } catch {
    return undefined
  }
}
