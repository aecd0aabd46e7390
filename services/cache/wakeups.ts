/** Timers overflow past it. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Those who wait for something to happen to a key, by the entry's name. */
export class Wakeups {
  #waiting = new Map<string, Set<() => void>>()

  /** Whether nobody waits. */
  get isIdle (): boolean { return this.#waiting.size === 0 }

  /**
   * Begins to wait: what happens from now on counts.
   * @returns a wait, of which `end` must be called
   */
  begin (name: string): Wait {
    const wait = new Wait((ring) => {
      const others = this.#waiting.get(name)
      others?.delete(ring)
      if (others?.size === 0) this.#waiting.delete(name)
    })
    const others = this.#waiting.get(name)
    if (others === undefined) this.#waiting.set(name, new Set([wait.ring]))
    else others.add(wait.ring)
    return wait
  }

  wake (name: string): void {
    if (this.#waiting.size === 0) return
    for (const ring of this.#waiting.get(name) ?? []) ring()
  }

  wakeAll (): void {
    for (const rings of this.#waiting.values()) for (const ring of rings) ring()
  }
}

/** Somebody's waiting. */
export class Wait {
  readonly ring: () => void
  #rung: boolean = false
  #resolve: (() => void) | undefined
  #leave: (ring: () => void) => void

  constructor (leave: (ring: () => void) => void) {
    this.#leave = leave
    this.ring = () => {
      this.#rung = true
      this.#resolve?.()
    }
  }

  /** Settles when something happened since the last time, or after so many milliseconds. */
  async next (milliseconds: number): Promise<void> {
    if (!this.#rung) {
      let timer: NodeJS.Timeout | undefined
      await new Promise<void>((resolve) => {
        this.#resolve = resolve
        timer = setTimeout(resolve, Math.min(milliseconds, LONGEST_TIMER))
      })
      clearTimeout(timer)
      this.#resolve = undefined
    }
    this.#rung = false
  }

  end (): void { this.#leave(this.ring) }
}
