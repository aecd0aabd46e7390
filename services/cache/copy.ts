/** What plain JSON holds. */
export type Container = Record<string, unknown> | unknown[]

export const isContainer = (value: unknown): value is Container => typeof value === 'object' && value !== null

/**
 * A copy of plain JSON that shares nothing with it which can be changed. Spreading takes an own `__proto__` for the member that
 * it is; from there on an assignment finds that member, and not the prototype's setter.
 */
export function copyOf (value: unknown): unknown {
  if (!isContainer(value)) return value
  if (Array.isArray(value)) {
    const copy = value.slice()
    for (let at = 0; at < copy.length; at++) if (isContainer(copy[at])) copy[at] = copyOf(copy[at])
    return copy
  }
  const copy = { ...value }
  for (const name in copy) if (isContainer(copy[name])) copy[name] = copyOf(copy[name])
  return copy
}

/** Freezes plain JSON to its ends. */
export function deepFreeze (value: unknown): unknown {
  if (isContainer(value) && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const member of Object.values(value)) deepFreeze(member)
  }
  return value
}

/** Deeper values are not looked into: whoever copies them would take as much of the stack. */
const DEEPEST = 64
const PER_CONTAINER = 56
const PER_MEMBER = 16

/** About the bytes that decoded JSON takes in memory; Infinity beyond a depth of 64. */
export function weightOf (value: unknown, depth = 0): number {
  if (typeof value === 'string') return 2 * PER_MEMBER + 2 * value.length
  if (!isContainer(value)) return PER_MEMBER
  if (depth === DEEPEST) return Infinity
  let weight = PER_CONTAINER
  for (const member of Object.values(value)) weight += PER_MEMBER + weightOf(member, depth + 1)
  return weight
}

/** Whether a copy needs to look no further than its members. */
export const isFlat = (value: unknown): boolean => !isContainer(value) || !Object.values(value).some(isContainer)
