import { setImmediate as turn } from 'node:timers/promises'
import type { ConfigStore, SettingChange } from './config-store.js'
import { Loop } from './events/loop.js'
import { Turns } from './events/turns.js'

/** Milliseconds between looks at the revision, which is in memory: whatever changes it wakes the feed as well. */
const LOOK = 500
const PAGE = 100
/** Listeners that are told in one turn of the event loop. */
const AT_ONCE = 50

export interface SettingFeedOptions {
  store: Pick<ConfigStore, 'revision' | 'onRevision' | 'history' | 'oldestRevision'>
  /** Told once for each outage. */
  onFault: (error: unknown) => void
  /** Changes that are kept for those who come back, beside those that came last. Default 1000. */
  keep?: number
}

/**
 * Changes of the settings for listeners, as they take effect in this process: each goes on where it stopped, at its own pace, and misses
 * none. What is new is read once for all of them; who is further behind than what is kept of it reads for itself, one page at a time
 * between them.
 */
export class SettingFeed {
  readonly #options: Required<SettingFeedOptions>
  readonly #loop: Loop
  readonly #listeners = new Set<() => void>()
  readonly #reads = new Turns({ waiting: 10_000, patience: 30_000 })
  readonly #forget: () => void
  /** Every change after `#from` and up to `#newest`, the earliest first. */
  #changes: SettingChange[] = []
  #from = 0
  #newest = 0

  constructor ({ keep = 1000, ...options }: SettingFeedOptions) {
    this.#options = { keep, ...options }
    this.#loop = new Loop(async () => await this.#look(), { idle: LOOK, onFault: options.onFault })
    this.#forget = options.store.onRevision(() => { if (this.#listeners.size > 0) this.#loop.wake() })
  }

  start (): void { this.#loop.start() }

  async stop (): Promise<void> {
    this.#forget()
    await this.#loop.stop()
  }

  /** Whether every change after a revision is still in the history. Everything that is there comes after 0. */
  async reaches (since: number): Promise<boolean> {
    if (since === 0 || since >= this.#options.store.revision || (this.#listeners.size > 0 && since >= this.#from)) return true
    return since >= await this.#reads.take('oldest', async () => await this.#options.store.oldestRevision()) - 1
  }

  /**
   * Those after a revision, and then each as it comes, until `ended` is aborted, or the revisions turn out to be those of another database.
   * Listeners are given the same objects.
   */
  async * after (since: number, ended: AbortSignal): AsyncGenerator<SettingChange> {
    let wake = (): void => {}
    const listener = (): void => { wake() }
    if (this.#listeners.size === 0) this.#begin()
    this.#listeners.add(listener)
    ended.addEventListener('abort', listener, { once: true })
    try {
      let position = since
      while (!ended.aborted && position <= Math.max(this.#newest, this.#options.store.revision)) {
        const woken = new Promise<void>((resolve) => { wake = resolve })
        if (position < this.#from) {
          const newest = this.#newest
          const found = await this.#reads.take('pages', async () => await this.#options.store.history({ after: position, limit: PAGE }), ended)
          for (const change of found) {
            // What is not in force here yet comes later, for all.
            if (change.revision > newest) break
            yield change
            position = change.revision
          }
          if (found.length < PAGE || found.at(-1)!.revision > newest) position = newest
          continue
        }
        const change = this.#next(position)
        if (change === undefined) {
          await woken
        } else {
          yield change
          position = change.revision
        }
      }
    } catch (error) {
      if (!ended.aborted) throw error
    } finally {
      this.#listeners.delete(listener)
    }
  }

  /** From here on everything is read, while anybody listens. */
  #begin (): void {
    this.#changes = []
    this.#from = this.#newest = this.#options.store.revision
  }

  /** The first one after a revision, by halving. */
  #next (revision: number): SettingChange | undefined {
    let [low, high] = [0, this.#changes.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#changes[middle]!.revision > revision) high = middle
      else low = middle + 1
    }
    return this.#changes[low]
  }

  async #look (): Promise<boolean> {
    const { store, keep } = this.#options
    const { revision } = store
    if (this.#listeners.size === 0 || revision === this.#newest) return false
    if (revision < this.#newest) {
      // A database that was restored or replaced: nobody's place is one of its.
      this.#begin()
      await this.#tell()
      return false
    }
    const found = await store.history({ after: this.#newest, limit: PAGE })
    const fresh = found.filter((change) => change.revision <= revision)
    const gone = this.#changes.splice(0, Math.max(0, this.#changes.length - keep)).at(-1)
    if (gone !== undefined) this.#from = gone.revision
    this.#changes.push(...fresh)
    const isMore = found.length === PAGE && fresh.length === PAGE
    this.#newest = isMore ? fresh.at(-1)!.revision : revision
    await this.#tell()
    return isMore
  }

  /** In parts: a thousand sockets are written to for some time. */
  async #tell (): Promise<void> {
    let told = 0
    for (const listener of [...this.#listeners]) {
      listener()
      if (++told % AT_ONCE === 0) await turn()
    }
  }
}
