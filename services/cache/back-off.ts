import type { Now } from './clock.js'

/** Keys; beyond this many the oldest is forgotten. */
const BOUND = 10_000

/** The keys whose loader is left alone for a while, because it failed and a stale value is served. */
export class BackOff {
  #until = new Map<string, number>()
  #now: Now

  constructor (now: Now) { this.#now = now }

  isOn (name: string): boolean { return (this.#until.get(name) ?? 0) > this.#now() }

  begin (name: string, seconds: number): void {
    this.#until.delete(name)
    this.#until.set(name, this.#now() + seconds * 1000)
    if (this.#until.size > BOUND) this.#until.delete(this.#until.keys().next().value as string)
  }

  end (name: string): void { this.#until.delete(name) }
}
