import type { ComponentType } from 'preact'

export interface Page {
  id: string
  title: string
  /** It is shown to whoever holds one of these. */
  needs: readonly string[]
  load: () => Promise<{ default: ComponentType }>
}

/** In the order of the navigation; the first one that the caller may see is shown at first. */
export const PAGES: readonly Page[] = [
  { id: 'live', title: 'Live', needs: ['metrics:read', 'cache:read'], load: () => import('./pages/live/index.js') },
  { id: 'explore', title: 'Explore', needs: ['cache:read', 'cache:write', 'cache:delete'], load: () => import('./pages/explore/index.js') },
  { id: 'compare', title: 'Compare', needs: ['products:read'], load: () => import('./pages/compare/index.js') },
  {
    id: 'operate',
    title: 'Operate',
    needs: ['config:read', 'valet:read', 'valet:issue', 'keys:read', 'keys:write', 'audit:read', 'events:read', 'events:write'],
    load: () => import('./pages/operate/index.js')
  }
]
