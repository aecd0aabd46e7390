export const RESOURCES = [
  'cache', 'items', 'products', 'recipes', 'users', 'posts', 'events', 'config', 'valet', 'keys', 'metrics', 'audit'
] as const
export const ACTIONS = ['read', 'write', 'delete'] as const

export type Resource = typeof RESOURCES[number]
/** One permission, as a route demands it. */
export type Permission = `${Resource}:${typeof ACTIONS[number]}` | 'valet:issue'
/** What a route states: the permission that it needs, or that it needs none. */
export type Scope = 'public' | Permission

/** Every permission there is; its place here is its index in a `ScopeSet`. */
export const PERMISSIONS: readonly Permission[] = [
  ...RESOURCES.flatMap((resource) => ACTIONS.map((action) => `${resource}:${action}` as const)), 'valet:issue'
]

const indexes: ReadonlyMap<string, number> = new Map(PERMISSIONS.map((permission, index) => [permission, index]))

/** The index of a permission in every `ScopeSet`; undefined when there is no such one. */
export function permissionIndex (permission: string): number | undefined {
  return indexes.get(permission)
}

/** Whether a scope may be granted: `cache:read`, `cache:*`, `*:read`, `*:*` or `*`. */
export function isGrantable (scope: string): boolean {
  return matching(scope).length > 0
}

/**
 * The permissions that somebody holds. Made from scopes, in which `*` stands for every resource or every action. What is forbidden
 * is left out, whatever permits it and in whatever order they come.
 */
export class ScopeSet {
  /** The scopes as they were given, sorted, for answers and tokens. */
  readonly names: readonly string[]
  readonly #held: Uint8Array

  private constructor (names: readonly string[], held: Uint8Array) {
    this.names = names
    this.#held = held
  }

  /** @throws TypeError for a scope that does not exist */
  static of (scopes: Iterable<string>, forbidden: Iterable<string> = []): ScopeSet {
    const held = new Uint8Array(PERMISSIONS.length)
    const names = [...new Set(scopes)].sort()
    for (const scope of names) for (const index of known(scope)) held[index] = 1
    for (const scope of forbidden) for (const index of known(scope)) held[index] = 0
    return new ScopeSet(names, held)
  }

  /** By the index of the permission: one look into an array. */
  holds (index: number): boolean {
    return this.#held[index] === 1
  }

  has (permission: Permission): boolean {
    return this.holds(indexes.get(permission)!)
  }

  /** Whether everything that the other holds is held here too. */
  covers (other: ScopeSet): boolean {
    return this.#held.every((held, index) => held === 1 || !other.holds(index))
  }

  /** What both hold. The names stay those of this one. */
  and (other: ScopeSet): ScopeSet {
    return new ScopeSet(this.names, this.#held.map((held, index) => held === 1 && other.holds(index) ? 1 : 0))
  }

  permissions (): Permission[] {
    return PERMISSIONS.filter((_, index) => this.holds(index))
  }
}

function known (scope: string): number[] {
  const found = matching(scope)
  if (found.length === 0) throw new TypeError(`There is no scope ${scope}`)
  return found
}

function matching (scope: string): number[] {
  const [resource, action, more] = (scope === '*' ? '*:*' : scope).split(':')
  if (action === undefined || more !== undefined) return []
  return PERMISSIONS.flatMap((permission, index) => {
    const [ofResource, ofAction] = permission.split(':')
    return (resource === '*' || resource === ofResource) && (action === '*' || action === ofAction) ? [index] : []
  })
}
