import { NO_TAGS } from './entry.js'
import { compileGlob, type Matcher } from './glob.js'

/** What to invalidate in a namespace: entries with any of the tags, entries whose key matches the pattern, or everything. */
export interface Invalidation {
  tags?: readonly string[] | undefined
  pattern?: string | undefined
  all?: boolean | undefined
  /** Leave the values for their grace, as stale ones. Default false: they are gone. */
  soft?: boolean | undefined
}

/** One recorded invalidation. It concerns entries whose stamp is lower. */
export interface Marker {
  readonly stamp: number
  /** The order in which this process learned of it: an entry checked at a later revision has passed it. */
  readonly revision: number
  readonly soft: boolean
  /** Entries that fell to it so far in this process, and are gone. */
  removed: number
  /** Those that it left for their grace, as stale ones. */
  outdated: number
}

/** Entries that fell to an invalidation: what callers had seen until then. */
export interface Fallen {
  /** That are gone. */
  readonly removed: number
  /** That are stale, and stay for their grace: of a soft invalidation. */
  readonly outdated: number
}

/** What an invalidation looks at in an entry. */
export type Concerned = (key: string, tags: readonly string[], stamp: number) => boolean

interface Ban { readonly marker: Marker, readonly matches: Matcher }

/** The markers of one namespace. */
export class NamespaceLedger {
  /** The revision of the newest marker: an entry checked at or after it needs no further look. */
  revision = 0
  #all: Marker | undefined
  #softAll: Marker | undefined
  #tags = new Map<string, Marker>()
  #softTags = new Map<string, Marker>()
  /** The stamp of the newest marker of any tag. */
  #newestTag = 0
  /** The newest ban of each pattern, by `banName`. */
  #bans = new Map<string, Ban>()

  get isEmpty (): boolean {
    return this.#all === undefined && this.#softAll === undefined && this.#tags.size === 0 && this.#softTags.size === 0 && this.#bans.size === 0
  }

  add (what: Invalidation, marker: Marker): void {
    this.revision = marker.revision
    if (what.all === true) {
      if (marker.soft) this.#softAll = newer(this.#softAll, marker)
      else this.#all = newer(this.#all, marker)
      return
    }
    const tags = marker.soft ? this.#softTags : this.#tags
    if (what.tags !== undefined && what.tags.length > 0) this.#newestTag = Math.max(this.#newestTag, marker.stamp)
    for (const tag of what.tags ?? []) tags.set(tag, newer(tags.get(tag), marker))
    if (what.pattern !== undefined) {
      const name = banName(what.pattern, marker.soft)
      const ban = this.#bans.get(name)
      if (ban === undefined || ban.marker.stamp <= marker.stamp) this.#bans.set(name, { marker, matches: ban?.matches ?? compileGlob(what.pattern) })
    }
  }

  /** Whether an invalidation is recorded already, at this stamp or a later one. */
  knows ({ tags = [], pattern, all, soft = false }: Invalidation, stamp: number): boolean {
    const isKnown = (marker: Marker | undefined): boolean => marker !== undefined && marker.stamp >= stamp
    if (all === true) return isKnown(soft ? this.#softAll : this.#all)
    const known = soft ? this.#softTags : this.#tags
    return tags.every((tag) => isKnown(known.get(tag))) && (pattern === undefined || isKnown(this.#bans.get(banName(pattern, soft))?.marker))
  }

  /**
   * The marker that an entry falls to, undefined when it passes. A hard one wins over a soft one.
   * @param checked the revision at which the entry last passed
   */
  verdict (key: string, tags: readonly string[], stamp: number, checked: number): Marker | undefined {
    if (this.#all !== undefined && concerns(this.#all, stamp, checked)) return this.#all
    for (const tag of tags) {
      const marker = this.#tags.get(tag)
      if (marker !== undefined && concerns(marker, stamp, checked)) return marker
    }
    for (const { marker, matches } of this.#bans.values()) {
      if (!marker.soft && concerns(marker, stamp, checked) && matches(key)) return marker
    }
    return this.softVerdict(key, tags, stamp, checked)
  }

  /** The same of soft ones alone. */
  softVerdict (key: string, tags: readonly string[], stamp: number, checked: number): Marker | undefined {
    if (this.#softAll !== undefined && concerns(this.#softAll, stamp, checked)) return this.#softAll
    for (const tag of tags) {
      const marker = this.#softTags.get(tag)
      if (marker !== undefined && concerns(marker, stamp, checked)) return marker
    }
    for (const { marker, matches } of this.#bans.values()) {
      if (marker.soft && concerns(marker, stamp, checked) && matches(key)) return marker
    }
    return undefined
  }

  /**
   * Tells the entries that go stale by a soft invalidation, and by none before it. To be asked for before it is recorded here, as it
   * takes the place of those under the same names.
   */
  outdatedBy ({ tags = [], pattern, all }: Invalidation, stamp: number): Concerned {
    const own = new NamespaceLedger()
    own.add({ tags, pattern, all }, { stamp, revision: 1, soft: true, removed: 0, outdated: 0 })
    const before = new NamespaceLedger()
    const keep = (what: Invalidation, marker: Marker | undefined): void => { if (marker !== undefined && marker.stamp < stamp) before.add(what, marker) }
    if (all === true) keep({ all }, this.#softAll)
    for (const tag of tags) keep({ tags: [tag] }, this.#softTags.get(tag))
    if (pattern !== undefined) keep({ pattern }, this.#bans.get(banName(pattern, true))?.marker)
    return (key, tags, since) => own.softVerdict(key, tags, since, 0) !== undefined && before.softVerdict(key, tags, since, 0) === undefined &&
      !this.#hasFallenBefore(key, tags, since, stamp)
  }

  /** Whether an entry fell to a marker lower than a stamp. */
  #hasFallenBefore (key: string, tags: readonly string[], since: number, stamp: number): boolean {
    const isOne = (marker: Marker | undefined): boolean => marker !== undefined && marker.stamp > since && marker.stamp < stamp
    if (isOne(this.#all) || isOne(this.#softAll) || tags.some((tag) => isOne(this.#tags.get(tag)) || isOne(this.#softTags.get(tag)))) return true
    for (const { marker, matches } of this.#bans.values()) if (isOne(marker) && matches(key)) return true
    return false
  }

  /** Whether a value known to be true at the stamp is so still. Its tags may not be known yet (undefined): then any tag counts. */
  isCurrent (key: string, tags: readonly string[] | undefined, stamp: number): boolean {
    if (tags === undefined && this.#newestTag > stamp) return false
    return this.verdict(key, tags ?? NO_TAGS, stamp, 0) === undefined
  }

  /** Drops the markers for which `isOver` holds. */
  retire (isOver: (marker: Marker) => boolean): void {
    if (this.#all !== undefined && isOver(this.#all)) this.#all = undefined
    if (this.#softAll !== undefined && isOver(this.#softAll)) this.#softAll = undefined
    for (const tags of [this.#tags, this.#softTags]) {
      for (const [tag, marker] of tags) if (isOver(marker)) tags.delete(tag)
    }
    for (const [name, { marker }] of this.#bans) if (isOver(marker)) this.#bans.delete(name)
  }
}

const concerns = (marker: Marker, stamp: number, checked: number): boolean => marker.revision > checked && marker.stamp > stamp

const banName = (pattern: string, soft: boolean): string => `${soft ? 's' : 'h'}${pattern}`

const newer = (existing: Marker | undefined, marker: Marker): Marker =>
  existing !== undefined && existing.stamp > marker.stamp ? existing : marker

/**
 * The record of invalidations by tag, by pattern and of whole namespaces. Writing one takes constant time however many entries
 * it concerns: entries are held against it when they are read next (patterns as in Varnish's ban list), and a sweep reclaims
 * those that nobody reads.
 *
 * Stamps order invalidations and loads. They come from one counter (this process's, or the shared store's), never from the
 * wall clocks of two hosts: an entry carries the stamp at which its load began, so a marker written while the load was under
 * way is higher and the loaded value falls to it.
 */
export class Ledger {
  /** The highest stamp known here. */
  stamp = 0
  #revision = 0
  #namespaces = new Map<string, NamespaceLedger>()

  get revision (): number { return this.#revision }

  namespace (name: string): NamespaceLedger {
    let ledger = this.#namespaces.get(name)
    if (ledger === undefined) {
      ledger = new NamespaceLedger()
      this.#namespaces.set(name, ledger)
    }
    return ledger
  }

  /** Records an invalidation at a stamp, by default the next one of this process. */
  record (namespace: string, what: Invalidation, stamp = this.stamp + 1): Marker {
    if (stamp > this.stamp) this.stamp = stamp
    const marker: Marker = { stamp, revision: ++this.#revision, soft: what.soft === true, removed: 0, outdated: 0 }
    this.namespace(namespace).add(what, marker)
    return marker
  }

  /** Takes back a marker that was recorded provisionally. */
  withdraw (namespace: string, marker: Marker): void {
    this.#namespaces.get(namespace)?.retire((candidate) => candidate === marker)
  }

  /**
   * Forgets the markers that no entry can fall to any more.
   * @param revision every entry has been checked at or after it
   * @param oldestLoad the stamp of the oldest load still under way, Infinity when there is none
   * @param isNeeded namespaces whose ledger someone holds
   * @param isInForce markers that entries elsewhere may still fall to; default none
   */
  retire (
    revision: number, oldestLoad: number, isNeeded: (namespace: string) => boolean, isInForce: (marker: Marker) => boolean = () => false
  ): void {
    for (const [name, ledger] of this.#namespaces) {
      ledger.retire((marker) => marker.revision <= revision && marker.stamp <= oldestLoad && !isInForce(marker))
      if (ledger.isEmpty && !isNeeded(name)) this.#namespaces.delete(name)
    }
  }
}
