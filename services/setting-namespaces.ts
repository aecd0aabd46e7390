import { BACKENDS, type BackendName } from './cache/backends/names.js'

/** What of a backend's settings a namespace may have for itself: whatever is decided entry by entry, when it is written. */
const OF_AN_ENTRY = new Set(['default_ttl', 'strategy', 'compression_enabled', 'encryption_enabled'])

/** Why a setting has no values for single namespaces, in words that follow its name; undefined: it has. */
export function whyWithoutNamespaces (name: string): string | undefined {
  const [group, backend, item = ''] = name.split('.')
  if (group === 'cache' && isBackend(backend)) {
    if (OF_AN_ENTRY.has(item)) return undefined
    if (item === 'quotas') return 'has the quotas of all namespaces in it: POST /api/cache/config?namespace= changes that of one'
    if (item === 'cleanup_interval') return 'is about all namespaces at once, as one sweep goes over everything: leave namespace out'
    return `is about ${backend} as a whole; what a namespace may hold is its quota: POST /api/cache/config?namespace= sets it`
  }
  if (group === 'rate_limits') {
    return 'is counted when a request arrives, before its body is read, which may be what names the namespace: give the API keys of that namespace limits of their own (POST /keys)'
  }
  return 'is not about the entries of a namespace: leave namespace out'
}

const isBackend = (name: string | undefined): name is BackendName => (BACKENDS as readonly (string | undefined)[]).includes(name)
