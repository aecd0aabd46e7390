import type { Caller } from '../../credential.js'

export type TabId = 'configuration' | 'valet' | 'keys' | 'audit' | 'events' | 'dead-letters' | 'webhooks' | 'breakers' | 'access'

/** What the caller may see of the page, in the order in which it is shown. */
export function offeredTabs (caller: Caller): TabId[] {
  const may = (permission: string): boolean => caller.permissions.includes(permission)
  const isFree = isUnlimited(caller)
  const offered: [TabId, boolean][] = [
    ['configuration', isFree && may('config:read')],
    ['valet', may('valet:read') || may('valet:issue')],
    ['keys', reaches(caller, 'keys') && (may('keys:read') || mayMakeApiKeys(caller))],
    ['audit', reaches(caller, 'audit') && may('audit:read')],
    ['events', reaches(caller, 'events') && (may('events:read') || may('events:write'))],
    ['dead-letters', reaches(caller, 'events') && may('events:read')],
    ['webhooks', isFree && (may('events:read') || may('events:write'))],
    ['breakers', isFree && may('metrics:read')],
    ['access', isFree && may('audit:read')]
  ]
  return offered.filter(([, isOffered]) => isOffered).map(([id]) => id)
}

/** Some things are for those alone whose credential is limited neither to namespaces nor to resources. */
export function isUnlimited ({ namespaces, resources }: Pick<Caller, 'namespaces' | 'resources'>): boolean {
  return namespaces === null && resources === null
}

function reaches ({ resources }: Caller, resource: string): boolean {
  return resources === null || resources.some((pattern) => pattern === '*' || pattern === `${resource}/*`)
}

/** What valet keys of the caller may permit. In development local callers may hand out what they may not use: recipes are guarded, to show how. */
export function valetPermissions ({ kind, permissions }: Pick<Caller, 'kind' | 'permissions'>): string[] {
  return [...permissions, ...(kind === 'local' ? ['recipes:read', 'recipes:write', 'recipes:delete'].filter((permission) => !permissions.includes(permission)) : [])]
}

/** Whether the caller may make API keys, which outlive a valet key and know nothing of resources. */
export function mayMakeApiKeys ({ kind, permissions, resources }: Pick<Caller, 'kind' | 'permissions' | 'resources'>): boolean {
  return permissions.includes('keys:write') && kind !== 'valet_key' && resources === null
}
