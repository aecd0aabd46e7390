/** Keys; beyond this many the oldest is forgotten. */
const BOUND = 10_000

/** How long the last load of each key took in this process, in milliseconds. */
export class LoadTimes {
  #times = new Map<string, number>()

  get (name: string): number | undefined { return this.#times.get(name) }

  note (name: string, milliseconds: number): void {
    this.#times.delete(name)
    this.#times.set(name, milliseconds)
    if (this.#times.size > BOUND) this.#times.delete(this.#times.keys().next().value as string)
  }
}
