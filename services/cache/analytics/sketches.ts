import type { Now } from '../clock.js'
import type { Invalidation } from '../ledger.js'
import { HotKeys } from './hot-keys.js'
import type { Observed, Observer } from './observer.js'
import type { WhatIf } from './what-if.js'

/** What is kept of the accesses to one cache: see `bench/README.md` for what it costs. */
export class Sketches implements Observer {
  readonly hotKeys: HotKeys
  /** Set once the cache is there to be asked for its limits; undefined where it has none of its own. */
  whatIf: WhatIf | undefined

  constructor (now: Now) { this.hotKeys = new HotKeys(now) }

  hit (entry: Observed): void {
    this.hotKeys.note(entry.namespace, entry.key)
    this.whatIf?.hit(entry)
  }

  miss (namespace: string, key: string): void {
    this.hotKeys.note(namespace, key)
    this.whatIf?.miss(namespace, key)
  }

  written (entry: Observed): void { this.whatIf?.written(entry) }
  touched (entry: Observed): void { this.whatIf?.touched(entry) }
  deleted (namespace: string, key: string): void { this.whatIf?.deleted(namespace, key) }
  invalidated (namespace: string, what: Invalidation): void { this.whatIf?.invalidated(namespace, what) }
}
