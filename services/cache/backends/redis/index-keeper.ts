import type { Redis } from 'ioredis'
import { sizeOf, type Strategy } from '../../entry.js'
import { BackendFullError, EntryTooLargeError } from '../../errors.js'
import { isLimited, type Limits, type Quota } from '../../limits.js'
import { unreserved } from '../../quotas.js'
import type { ScannedEntry } from '../backend.js'
import { Settlement } from '../settlement.js'
import type { EntryScan } from './entry-scan.js'
import type { Keyspace } from './keyspace.js'
import type { Scripted } from './scripts.js'

/** Entries that one script evicts at most; what needs more is asked for again, so that no script holds Redis up for long. */
export const VICTIMS = 500
/** How many entries are taken into the index in one step. */
const PORTION = 200
/** Stands for "no such limit" in a script. */
const UNLIMITED = Number.MAX_SAFE_INTEGER

type IndexLimits = Pick<Limits, 'maxItems' | 'maxMemory' | 'quotas'>

export interface IndexKeeperOptions {
  client: Redis & Scripted
  keys: Keyspace
  /** Keeps a command within the deadline of a step. */
  run: <T>(command: () => Promise<T>) => Promise<T>
  scan: EntryScan
  /** Of this process's announcements. */
  source: string
  /** Is told who was evicted: names and stamps in turns. */
  onEvicted: (gone: readonly string[]) => void
}

/**
 * Sees to it that there is an index while there are limits, and none without: see `INDEX`. Whatever was there before is taken in by
 * portions; any number of processes may do so at once, and one may go on where another ended. Until that is done the limits hold
 * over what the index has.
 */
export class IndexKeeper {
  #options: IndexKeeperOptions
  #limits: IndexLimits = { maxItems: Infinity, maxMemory: Infinity }
  #settlement = new Settlement(async () => { await this.#work() })

  constructor (options: IndexKeeperOptions) { this.#options = options }

  /** What holds for a namespace: its quota, or what is left for those without one. */
  boundsOf (namespace: string): Quota { return this.#limits.quotas?.get(namespace) ?? unreserved(this.#limits) }

  /** Why an entry of that size can never be stored; undefined when it can. */
  refusal (namespace: string, size: number): Error | undefined {
    const { maxItems, maxMemory } = this.boundsOf(namespace)
    if (size > maxMemory) return new EntryTooLargeError(size, maxMemory)
    return maxItems < 1 ? new BackendFullError('redis') : undefined
  }

  /** The limits as scripts take them. */
  get limitArguments (): [items: number | '', bytes: number | ''] {
    if (!this.isKept) return ['', '']
    return [Math.min(this.#limits.maxItems, UNLIMITED), Math.min(this.#limits.maxMemory, UNLIMITED)]
  }

  /** Those of a namespace's quota. */
  quotaArguments (namespace: string): [items: number | '', bytes: number | ''] {
    const quota = this.#limits.quotas?.get(namespace)
    return quota === undefined ? ['', ''] : [quota.maxItems, quota.maxMemory]
  }

  configure ({ maxItems, maxMemory, quotas }: IndexLimits): void {
    this.#limits = { maxItems, maxMemory, ...quotas === undefined ? {} : { quotas } }
    this.#settlement.begin()
  }

  async settled (): Promise<void> { await this.#settlement.settled() }

  /** A write found the index incomplete. Without limits that is for those who have some. */
  noteBuilding (): void {
    if (this.isKept) this.#settlement.begin()
  }

  /** Whether there are limits. */
  get isKept (): boolean { return isLimited(this.#limits) || (this.#limits.quotas?.size ?? 0) > 0 }

  close (): void { this.#settlement.close() }

  /** Entries and bytes of a namespace or of all; undefined where no index tells. */
  async usage (namespace: string | undefined): Promise<{ items: number, bytes: number } | undefined> {
    if (!this.isKept) return undefined
    const { client, keys, run } = this.#options
    for (;;) {
      const [items, bytes] = await run(() => client.larderUsage(keys.counter, keys.index, namespace ?? ''))
      if (items === undefined) return undefined
      if (bytes !== undefined) return { items, bytes }
    }
  }

  /** Takes out of the index what the server has dropped by itself. */
  async mend (): Promise<void> {
    if (!this.isKept) return
    const { client, keys, run } = this.#options
    let cursor = '0'
    do cursor = await run(() => client.larderIndexMend(keys.counter, keys.index, cursor))
    while (cursor !== '0')
  }

  async #work (): Promise<void> {
    const { client, keys, run } = this.#options
    if (!this.isKept) {
      await run(() => client.larderIndexDrop(keys.counter, keys.index))
      return
    }
    await run(() => client.larderIndexQuotas(keys.counter, keys.index, ...this.#quotas()))
    await this.#build()
    while (await run(() => client.larderIndexPlace(keys.counter, keys.index)) === 1);
    while (!await this.#shrink());
  }

  #quotas (): (string | number)[] {
    return [...this.#limits.quotas ?? []].flatMap(([namespace, { maxItems, maxMemory }]) => [namespace, maxItems, maxMemory])
  }

  async #build (): Promise<void> {
    const { client, keys, run, scan } = this.#options
    const [state, generation, reached, server] = await run(() => client.larderIndexOpen(keys.counter, keys.index))
    if (state === 'complete') return
    // A cursor is of one run of a server: another one has its keys in another order.
    const [of, cursor = '0'] = reached.split(' ')
    for await (const { next, entries } of scan.pages(undefined, of === server ? cursor : '0')) {
      for (let at = 0; at === 0 || at < entries.length; at += PORTION) {
        const portion = entries.slice(at, at + PORTION)
        const isLast = at + PORTION >= entries.length
        const mark = isLast && next !== '0' ? `${server} ${next}` : reached
        const isCurrent = await run(() => client.larderIndexAdd(keys.counter, keys.index, generation, mark, ...portion.flatMap(facts)))
        if (isCurrent === 0) {
          this.#settlement.begin()
          return
        }
      }
    }
    if (await run(() => client.larderIndexDone(keys.counter, keys.index, generation)) === 0) this.#settlement.begin()
  }

  async #shrink (): Promise<boolean> {
    const { client, keys, run, source, onEvicted } = this.#options
    const [items, bytes] = this.limitArguments
    if (items === '' || bytes === '') return true
    const [isEnough, gone] = await run(() => client.larderShrink(keys.counter, keys.index, keys.channel, source, items, bytes, VICTIMS))
    onEvicted(gone)
    return isEnough === 1
  }
}

/** The strategies that the index knows; an entry of another one, from before the limits, is kept as `lru`. */
export const indexStrategy = (strategy: Strategy): Strategy => strategy === 'lfu' || strategy === 'fifo' || strategy === 'ttl' ? strategy : 'lru'

function facts ({ namespace, key, version, strategy, tags, metadata, valueLength }: ScannedEntry): (string | number | Buffer)[] {
  const bytes = Buffer.allocUnsafe(8)
  bytes.writeDoubleLE(version)
  return [`${namespace}:${key}`, bytes, sizeOf(key, { length: valueLength }, tags, metadata), indexStrategy(strategy)]
}
