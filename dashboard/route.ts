import { useEffect, useState } from 'preact/hooks'

/** Where in the dashboard somebody is: `#/operate/valet?state=live`. */
export interface Route {
  page: string
  /** The part of the page; empty where there is none. */
  tab: string
  query: Readonly<Record<string, string>>
}

export function parseRoute (hash: string): Route {
  const [path = '', search = ''] = hash.replace(/^#\/?/, '').split('?', 2)
  const [page = '', tab = ''] = path.split('/')
  return { page, tab, query: Object.fromEntries(new URLSearchParams(search)) }
}

/** What is undefined or empty is left out of the query. */
export function hashOf (page: string, query: Record<string, string | undefined> = {}): string {
  const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== '')
  return `#/${page}${given.length === 0 ? '' : `?${new URLSearchParams(given)}`}`
}

export function go (page: string, query?: Record<string, string | undefined>): void {
  location.hash = hashOf(page, query)
}

/** Changes the query where one is. @param isStep whether Back leads to what was before; default false */
export function setQuery (changes: Record<string, string | undefined>, isStep = false): void {
  const { page, tab, query } = parseRoute(location.hash)
  const hash = hashOf(tab === '' ? page : `${page}/${tab}`, { ...query, ...changes })
  if (hash === location.hash) return
  if (isStep) {
    location.hash = hash
  } else {
    history.replaceState(null, '', hash)
    dispatchEvent(new HashChangeEvent('hashchange'))
  }
}

export function useRoute (): Route {
  const [route, setRoute] = useState(() => parseRoute(location.hash))
  useEffect(() => {
    const follow = (): void => { setRoute(parseRoute(location.hash)) }
    addEventListener('hashchange', follow)
    return () => { removeEventListener('hashchange', follow) }
  }, [])
  return route
}
