import { DeadlineError } from '../../deadline.js'
import type { RowChange } from './disk.js'

/** Changes that are written together. */
interface Group {
  changes: RowChange[]
  bytes: number
  /** Names of entries whose rows are in it. */
  names: string[]
  done: Promise<void>
  resolve: () => void
  reject: (error: Error) => void
}

/** The rows of an entry that are on their way to the disk. */
export interface Pending { readonly entry: Buffer, readonly value: Buffer | undefined }

export interface CommitsOptions {
  write: (changes: RowChange[]) => Promise<void>
  /** Milliseconds after which those that wait for a write are let go, whatever becomes of it. */
  deadline: number
  /** Is told of a write that failed, before those that wait for it and for what was to follow it. */
  onFailure: (error: unknown) => Error
}

/**
 * Brings changes to the disk in the order in which they came: what comes while a write is under way is the next write, so that
 * many callers share one flush. Until then the rows of an entry can be read here.
 */
export class Commits {
  #options: CommitsOptions
  #next = newGroup()
  #running: Group | undefined
  #scheduled = false
  #isLate = false
  /** By the entry's name, with the group that brings them. */
  #pending = new Map<string, { group: Group, rows: Pending }>()

  constructor (options: CommitsOptions) { this.#options = options }

  /** Bytes that wait to be written. */
  get waiting (): number { return this.#next.bytes + (this.#running?.bytes ?? 0) }

  /** Whether the write under way takes longer than anybody waits. */
  get isLate (): boolean { return this.#isLate }

  /** Adds changes that belong together. */
  add (changes: RowChange[], bytes: number): void {
    const group = this.#next
    for (const change of changes) group.changes.push(change)
    group.bytes += bytes
    this.#schedule()
  }

  /** Keeps the rows of an entry, just added, to be read until they are written. */
  keep (name: string, rows: Pending): void {
    this.#next.names.push(name)
    this.#pending.set(name, { group: this.#next, rows })
  }

  pending (name: string): Pending | undefined { return this.#pending.get(name)?.rows }

  /** Settles when everything added so far is written. */
  async written (): Promise<void> {
    if (this.#next.changes.length > 0) await this.#next.done
    else await this.#running?.done
  }

  #schedule (): void {
    if (this.#scheduled || this.#running !== undefined) return
    this.#scheduled = true
    // After all that this turn of the event loop brings.
    setImmediate(() => {
      this.#scheduled = false
      void this.#run()
    })
  }

  async #run (): Promise<void> {
    while (this.#next.changes.length > 0) {
      const group = this.#next
      this.#next = newGroup()
      this.#running = group
      const timer = setTimeout(() => {
        this.#isLate = true
        // What waits behind it is as late.
        for (const { reject } of [group, this.#next]) reject(new DeadlineError(this.#options.deadline))
      }, this.#options.deadline)
      try {
        await this.#options.write(group.changes)
        group.resolve()
      } catch (error) {
        const told = this.#options.onFailure(error)
        group.reject(told)
        this.#giveUp(told)
      } finally {
        clearTimeout(timer)
        this.#isLate = false
        this.#forget(group)
        this.#running = undefined
      }
    }
  }

  /** What follows a change that failed was decided in the belief that it would not. */
  #giveUp (error: Error): void {
    const group = this.#next
    this.#next = newGroup()
    group.reject(error)
    this.#forget(group)
  }

  #forget (group: Group): void {
    for (const name of group.names) if (this.#pending.get(name)?.group === group) this.#pending.delete(name)
  }
}

function newGroup (): Group {
  let resolve = (): void => {}
  let reject = (_error: Error): void => {}
  const done = new Promise<void>((_resolve, _reject) => {
    resolve = _resolve
    reject = _reject
  })
  // That nobody waits for it is no fault: who does learns of it all the same.
  done.catch(() => {})
  return { changes: [], bytes: 0, names: [], done, resolve, reject }
}
