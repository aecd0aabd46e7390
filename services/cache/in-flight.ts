/** Something under way that will store a value under a key, unless the key changes before it is done. */
export interface Operation {
  readonly name: string
  /** The stamp at which it began. */
  readonly stamp: number
  /** The key was written or deleted since: what this brings is not to be kept. */
  superseded: boolean
}

/** The operations under way by the name of their entry, so that a change of a key reaches loads, fetches and updates of it. */
export class InFlight {
  #operations = new Map<string, Set<Operation>>()

  begin (name: string, stamp: number): Operation {
    const operation: Operation = { name, stamp, superseded: false }
    const others = this.#operations.get(name)
    if (others === undefined) this.#operations.set(name, new Set([operation]))
    else others.add(operation)
    return operation
  }

  end (operation: Operation): void {
    const operations = this.#operations.get(operation.name)
    operations?.delete(operation)
    if (operations?.size === 0) this.#operations.delete(operation.name)
  }

  /** The key was changed: whatever is under way for it (but the one that changes it) must not store what it brings. */
  supersede (name: string, by?: Operation): void {
    if (this.#operations.size === 0) return
    const operations = this.#operations.get(name)
    if (operations !== undefined) for (const operation of operations) if (operation !== by) operation.superseded = true
  }

  supersedeAll (): void {
    for (const operations of this.#operations.values()) for (const operation of operations) operation.superseded = true
  }

  /** The lowest stamp at which anything still under way began, Infinity when nothing is. */
  oldest (): number {
    let oldest = Infinity
    for (const operations of this.#operations.values()) for (const { stamp } of operations) oldest = Math.min(oldest, stamp)
    return oldest
  }
}

/** The name of an entry across namespaces. Unambiguous, since a namespace has no colon. */
export const nameOf = (namespace: string, key: string): string => `${namespace}:${key}`
