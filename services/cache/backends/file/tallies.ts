import { crc32 } from 'node:zlib'
import type { InForce } from '../backend.js'
import type { Disk, RowChange } from './disk.js'
import { rangeOf, tallyIn, tallyKey } from './row-keys.js'
import { packNumber, unpackNumber } from './rows.js'

/** Parts of all keys; what does not tally loses one of them. */
const BUCKETS = 1024
/** That of the invalidations. */
const INVALIDATIONS = BUCKETS

/** What must not be another than it was. */
export interface Tallied {
  readonly namespace: string
  readonly key: string
  readonly version: number
  readonly expiresAt: number
  readonly goneAt: number
}

/**
 * What the store holds, told apart from the rows themselves: a sum over the entries of each bucket, and one over the invalidations, written
 * with each change of them. A row that LevelDB lost, or an older one that it brought back, as it copies blocks that were damaged under
 * it without looking at their checksums, shows when it is opened: the sum is another. (An incremental hash of a set, after Bellare
 * and Micciancio, "A new paradigm for collision-free hashing", 1997; against faults, not against anybody.)
 */
export class Tallies {
  #sums = new Uint32Array(BUCKETS + 1)
  /** Those that are to be written. */
  #changed = new Set<number>()
  #numbers = Buffer.alloc(24)

  /** @param sign 1 for one that comes, -1 for one that goes */
  entry ({ namespace, key, version, expiresAt, goneAt }: Tallied, sign: 1 | -1): void {
    const name = nameHash(namespace, key)
    this.#numbers.writeDoubleLE(version, 0)
    this.#numbers.writeDoubleLE(expiresAt, 8)
    this.#numbers.writeDoubleLE(goneAt, 16)
    this.#count(name % BUCKETS, crc32(this.#numbers, name), sign)
  }

  invalidation (field: string, stamp: number, sign: 1 | -1): void { this.#count(INVALIDATIONS, crc32(`${stamp}`, crc32(field)), sign) }

  /** What does not tally with what was written of it. */
  async check (disk: Disk): Promise<{ isWrong: (namespace: string, key: string) => boolean, count: number, invalidations: boolean }> {
    const wrong = new Set<number>()
    for await (const rows of disk.rows(rangeOf('t'))) {
      for (const [key, bytes] of rows) {
        const bucket = tallyIn(key)
        const sum = unpackNumber(key, bytes)
        if (sum === this.#sums[bucket]) this.#changed.delete(bucket)
        else this.#changed.add(bucket)
        // One that is damaged itself tells nothing.
        if (sum !== undefined && sum !== this.#sums[bucket]) wrong.add(bucket)
      }
    }
    return { isWrong: (namespace, key) => wrong.has(nameHash(namespace, key) % BUCKETS), count: wrong.size, invalidations: wrong.has(INVALIDATIONS) }
  }

  /** The rows of those that changed since, to be written together with what changed them. */
  changes (): RowChange[] {
    const rows = Array.from(this.#changed, (bucket): RowChange => {
      const key = tallyKey(bucket)
      return { type: 'put', key, value: packNumber(key, this.#sums[bucket] as number) }
    })
    this.#changed.clear()
    return rows
  }

  #count (bucket: number, hash: number, sign: 1 | -1): void {
    // Modulo 2 ** 32.
    this.#sums[bucket]! += sign * hash
    this.#changed.add(bucket)
  }
}

/** The invalidations in force, by the field that each is kept under. */
export class Invalidations extends Map<string, InForce> {
  #tallies: Tallies

  constructor (tallies: Tallies) {
    super()
    this.#tallies = tallies
  }

  override set (field: string, inForce: InForce): this {
    this.delete(field)
    this.#tallies.invalidation(field, inForce.stamp, 1)
    return super.set(field, inForce)
  }

  override delete (field: string): boolean {
    const old = this.get(field)
    if (old !== undefined) this.#tallies.invalidation(field, old.stamp, -1)
    return super.delete(field)
  }
}

const nameHash = (namespace: string, key: string): number => crc32(`${namespace}\0${key}`)
