/** Scopes of one resource that somebody may hand on. */
export interface ScopeGroup { resource: string, actions: string[] }

const ORDER = ['read', 'write', 'delete', 'issue']

/** What a caller may hand on is what they hold: by resource, in the order in which they come. */
export function scopeGroups (permissions: readonly string[]): ScopeGroup[] {
  const groups = new Map<string, string[]>()
  for (const permission of permissions) {
    const [resource = '', action = ''] = permission.split(':')
    const actions = groups.get(resource) ?? []
    if (!actions.includes(action)) groups.set(resource, [...actions, action])
  }
  return [...groups].map(([resource, actions]) => ({ resource, actions: actions.sort((one, other) => ORDER.indexOf(one) - ORDER.indexOf(other)) }))
}

/** With the scope, or without it. */
export function toggled (scopes: readonly string[], scope: string): string[] {
  return scopes.includes(scope) ? scopes.filter((each) => each !== scope) : [...scopes, scope]
}

/** Scopes in as few words as say it: `cache:read, write` for two of a resource. */
export function scopeText (scopes: readonly string[]): string {
  const actions = new Map<string, string[]>()
  for (const scope of scopes) {
    const [resource = '', action] = scope.split(':')
    actions.set(resource, [...actions.get(resource) ?? [], ...action === undefined ? [] : [action]])
  }
  return [...actions].map(([resource, some]) => some.length === 0 ? resource : `${resource}:${some.join(', ')}`).join(' · ')
}
