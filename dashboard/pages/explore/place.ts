import type { CacheBackend } from '../../../schemas/cache.js'

/** Every backend that there may be; which ones are configured is for those to know who may read the configuration. */
export const BACKENDS: readonly CacheBackend[] = ['memory', 'redis', 'memcached', 'database', 'file']
export const DEFAULT_NAMESPACE = 'default'

/** Where entries are looked for. */
export interface Place {
  /** Undefined: the default one. */
  backend: string | undefined
  namespace: string
}

/** As the API asks for it. */
export const queryOf = ({ backend, namespace }: Place): { backend: string | undefined, namespace: string } => ({ backend, namespace })

export const said = ({ backend, namespace }: Place): string => `namespace ${namespace}, ${backend === undefined ? 'default backend' : `backend ${backend}`}`

/** The namespaces that somebody is limited to, by their names or by what they may touch; undefined where they cannot be named one by one. */
export function namespacesOf ({ namespaces, resources }: { namespaces: readonly string[] | null, resources: readonly string[] | null }): readonly string[] | undefined {
  if (namespaces !== null) return namespaces
  if (resources === null) return undefined
  const names = new Set<string>()
  for (const pattern of resources) {
    const [resource = '', name = '', ...key] = pattern.split('/')
    if (resource === 'cache' && key.length > 0 && !name.includes('*')) names.add(name)
    else if (resource.includes('*') || resource === 'cache') return undefined
  }
  return [...names]
}

const KEPT_AS = 'larder.namespaces'
const MOST = 20

/** Namespaces that were looked at in this tab, the last one first: the API has no list of them. */
export function recentNamespaces (): string[] {
  try {
    const kept: unknown = JSON.parse(sessionStorage.getItem(KEPT_AS) ?? '[]')
    return Array.isArray(kept) ? kept.filter((name): name is string => typeof name === 'string') : []
  } catch {
    // What stands there is not ours.
    return []
  }
}

export function rememberNamespace (namespace: string): void {
  sessionStorage.setItem(KEPT_AS, JSON.stringify([namespace, ...recentNamespaces().filter((name) => name !== namespace)].slice(0, MOST)))
}
