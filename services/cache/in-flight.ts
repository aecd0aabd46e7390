/** What a shared backend remembers of a key from when a load began: it alone knows what else is in it. */
export interface Claim {
  /** In letters, digits, `-` and `_`: what another process can take it up by. */
  readonly token: string
}

/** Something under way that will store a value under a key, unless the key changes before it is done. */
export interface Operation {
  readonly name: string
  /** The stamp at which it began. */
  readonly stamp: number
  /** What the shared backend has to know when the operation ends, if anything. */
  readonly claim: Claim | undefined
  /** False while the shared backend cannot be asked for a stamp: what it brings cannot be put in order, and is not to be kept. */
  readonly isOrdered: boolean
  /**
   * The stamp of the newest change of the key since it began, 0 when there was none. What it brings is not to be kept unless it is
   * at least as new as that change.
   */
  supersededAt: number
}

/** The operations under way by the name of their entry, so that a change of a key reaches loads, fetches and updates of it. */
export class InFlight {
  #operations = new Map<string, Set<Operation>>()
  /** How many changes of a key are being made. */
  #changes = new Map<string, number>()

  /** Whether nothing is under way. */
  get isIdle (): boolean { return this.#operations.size === 0 }

  begin (name: string, stamp: number, isOrdered = true, claim?: Claim): Operation {
    const operation: Operation = { name, stamp, claim, isOrdered, supersededAt: 0 }
    const others = this.#operations.get(name)
    if (others === undefined) this.#operations.set(name, new Set([operation]))
    else others.add(operation)
    return operation
  }

  /** Another operation on the key that began when this one did, and that nothing has come between yet. */
  again ({ name, stamp, isOrdered, claim }: Operation): Operation { return this.begin(name, stamp, isOrdered, claim) }

  end (operation: Operation): void {
    const operations = this.#operations.get(operation.name)
    operations?.delete(operation)
    if (operations?.size === 0) this.#operations.delete(operation.name)
  }

  /** A read, whose result is not to be kept when a change of the key is being made: it may be from before or after it. */
  beginRead (name: string): Operation {
    const operation = this.begin(name, Infinity)
    if (this.#changes.has(name)) operation.supersededAt = Infinity
    return operation
  }

  /** The key is being changed from now on, by the operation: until `changed`, which must follow. */
  changing (name: string, by: Operation): void {
    this.supersede(name, by)
    this.#changes.set(name, (this.#changes.get(name) ?? 0) + 1)
  }

  changed (name: string): void {
    const others = (this.#changes.get(name) ?? 0) - 1
    if (others > 0) this.#changes.set(name, others)
    else this.#changes.delete(name)
  }

  /** The key was changed, at a stamp if it has one: whatever is under way for it (but the one that changes it) is too old for it. */
  supersede (name: string, by?: Operation, stamp = Infinity): void {
    if (this.isIdle) return
    const operations = this.#operations.get(name)
    if (operations === undefined) return
    for (const operation of operations) if (operation !== by) operation.supersededAt = Math.max(operation.supersededAt, stamp)
  }

  /** It stored what it brought: what began before it must not follow with something older. */
  supersedeOlder (than: Operation): void {
    for (const operation of this.#operations.get(than.name) ?? []) {
      if (operation === than) return
      operation.supersededAt = Infinity
    }
  }

  supersedeAll (): void {
    for (const operations of this.#operations.values()) for (const operation of operations) operation.supersededAt = Infinity
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
