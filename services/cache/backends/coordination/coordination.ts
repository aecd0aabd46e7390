import type { Invalidation } from '../../ledger.js'
import type { LeaseGiver } from '../../leases.js'
import type { BreakerState } from '../../breaker.js'
import type { ChangeListener, InForce } from '../backend.js'

/** The order as it stands: the stamp given last, the epoch, and how many milliseconds its clock is ahead of ours. */
export interface Place {
  readonly stamp: number
  /** Digits. A counter that was lost, or may have gone back, begins a new epoch: nothing from before it can be put in order any more. */
  readonly epoch: string
  readonly skew: number
}

/** A change that was begun: by its id, which its maker gives it. */
export interface BegunChange { readonly id: string, readonly namespace: string, readonly key: string }

/**
 * Keeps the order of changes, the invalidations in force and the announcements of a backend whose own server can keep none of them.
 * Every change of an entry is begun here before it is made and announced after it: what was begun and never announced, because
 * its maker died or did not learn how it went, is found by the others.
 *
 * Everything here fails within a deadline: BackendUnavailableError when the server behind it is down or hung.
 */
export interface Coordination {
  /** Leases that all processes know of. Without, each process has its own. */
  readonly leases?: LeaseGiver

  /** As it is known while announcements can be relied on, which is at most a beat old; else as it is now. */
  place (): Promise<Place>

  /** The place as it is now. */
  stamp (): Promise<Place>

  /** A change is about to be made. Answers the place as it is before it. */
  begin (change: BegunChange): Promise<Place>

  /** The change was made: takes the next stamp and announces the key, in one step. `id` undefined for one that was not begun. */
  announce (namespace: string, key: string, id?: string): Promise<number>

  /** The same for a change that somebody else may have made: it is heard in this process as well. */
  announceForeign (change: BegunChange): Promise<number>

  /** The change was not made. */
  cancel (id: string): Promise<void>

  /** Changes that were begun so many milliseconds ago, or longer, and neither announced nor cancelled since. */
  abandoned (age: number): Promise<BegunChange[]>

  invalidate (namespace: string, what: Invalidation): Promise<number>
  inForce (): Promise<InForce[]>
  withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void>

  follow (listener: ChangeListener): Promise<void>
  readonly isFollowing: boolean
  readonly breaker: BreakerState

  close (): Promise<void>
}
