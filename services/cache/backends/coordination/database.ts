import { randomBytes } from 'node:crypto'
import type { Now } from '../../clock.js'
import { withDeadline } from '../../deadline.js'
import { isOutage as isAway } from '../../faults.js'
import type { Invalidation } from '../../ledger.js'
import type { BreakerState } from '../../breaker.js'
import type { ChangeListener, InForce } from '../backend.js'
import type { Connections } from '../database/connections.js'
import { Notifications } from '../database/notifications.js'
import { TEXTS as CACHE_TEXTS } from '../database/statements.js'
import { columnOf, keyIn, Tables } from '../database/tables.js'
import { Follower } from '../follower.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import type { BegunChange, Coordination, Place } from './coordination.js'

/** How long a beat may take, in milliseconds: see `DatabaseBackend`. */
const BEAT_DEADLINE = 300

const { inForce, invalidate, pulse, withdraw } = CACHE_TEXTS
const TEXTS = {
  inForce,
  invalidate,
  pulse,
  withdraw,
  begin: 'SELECT stamp, epoch, "time" FROM cache_begin($1, $2, $3, $4)',
  changed: 'SELECT cache_changed($1, $2, $3, $4, $5) AS stamp',
  cancel: 'DELETE FROM cache_begun WHERE cache = $1 AND id = $2',
  abandoned: 'SELECT id, namespace, key FROM cache_begun WHERE cache = $1 AND at <= cache_now() - $2'
} as const

interface PlaceRow { stamp: number, epoch: string, time: number }

export interface DatabaseCoordinationOptions {
  connections: Connections
  /** Of the backend that is coordinated, in small letters and digits; also tells its rows from those of others. */
  name: string
  now: Now
}

/** The order of another server's entries, kept in PostgreSQL. */
export class DatabaseCoordination implements Coordination {
  #connections: Connections
  #name: string
  #now: Now
  /** None where no other process could listen. */
  #source: string | null
  #notifications: Notifications | undefined
  #follower: Follower | undefined
  #isAlone = false
  #place: Place | undefined
  #placing: Promise<Place> | undefined
  #tables: Tables<keyof typeof TEXTS>
  #listener: ChangeListener | undefined

  constructor ({ connections, name, now }: DatabaseCoordinationOptions) {
    this.#connections = connections
    this.#name = name
    this.#now = now
    this.#source = connections.connect === undefined ? null : newSource()
    this.#tables = new Tables({ connections, prefix: 'larder_order', texts: TEXTS, owner: name, name, away: AWAY })
  }

  /** An only process has nothing to miss. */
  get isFollowing (): boolean { return this.#isAlone || (this.#follower?.isFollowing ?? false) }
  get breaker (): BreakerState { return this.#tables.breaker }

  async place (): Promise<Place> {
    if (this.#place !== undefined && this.isFollowing) return this.#place
    this.#placing ??= this.stamp().finally(() => { this.#placing = undefined })
    return await this.#placing
  }

  async stamp (): Promise<Place> { return await this.#placed(async () => await this.#tables.ask<PlaceRow>('pulse')) }

  async begin ({ id, namespace, key }: BegunChange): Promise<Place> {
    return await this.#placed(async () => await this.#tables.ask<PlaceRow>('begin', id, namespace, columnOf(key)))
  }

  async announce (namespace: string, key: string, id = ''): Promise<number> { return await this.#changed(this.#source, namespace, key, id) }

  async announceForeign ({ id, namespace, key }: BegunChange): Promise<number> {
    const stamp = await this.#changed(this.#source === null ? null : '', namespace, key, id)
    // Nothing is announced to an only process, not even by itself.
    if (this.#source === null) this.#listener?.onChange({ kind: 'key', namespace, key, stamp })
    return stamp
  }

  async cancel (id: string): Promise<void> { await this.#tables.ask('cancel', id) }

  async abandoned (age: number): Promise<BegunChange[]> {
    const rows = await this.#tables.ask<{ id: string, namespace: string, key: string }>('abandoned', age)
    return rows.map(({ id, namespace, key }) => ({ id, namespace, key: keyIn(key) }))
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    return await this.#numbered('invalidate', this.#source, namespace, JSON.stringify(what), fieldsOf(namespace, what))
  }

  async inForce (): Promise<InForce[]> {
    const rows = await this.#tables.ask<{ what: string, stamp: number }>('inForce')
    return rows.flatMap(({ what, stamp }) => invalidationOf(what, stamp) ?? [])
  }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#tables.ask('withdraw', fieldsOf(namespace, what), stamp)
  }

  async follow (listener: ChangeListener): Promise<void> {
    const { connect } = this.#connections
    this.#listener = listener
    if (connect === undefined) {
      const { stamp } = await this.stamp()
      listener.onResync(await this.inForce(), stamp)
      this.#isAlone = true
      return
    }
    const notifications = new Notifications(connect, `larder_cache_${this.#name}`)
    this.#notifications = notifications
    this.#follower = new Follower({
      subscription: notifications,
      isOwn: (source) => source === this.#source,
      listener,
      pulse: async () => await withDeadline(this.#placed(async () => await this.#tables.over<PlaceRow>(notifications, 'pulse')), BEAT_DEADLINE),
      inForce: async () => await this.inForce()
    })
    await this.#follower.beat()
  }

  async close (): Promise<void> {
    this.#follower?.stop()
    this.#notifications?.close()
  }

  async #changed (source: string | null, namespace: string, key: string, id: string): Promise<number> {
    return await this.#numbered('changed', source, id, namespace, columnOf(key))
  }

  async #placed (ask: () => Promise<PlaceRow[]>): Promise<Place> {
    const asked = this.#now()
    const [row] = await ask()
    const { stamp, epoch, time } = row as PlaceRow
    // The answer was made about half way between question and answer.
    this.#place = { stamp, epoch, skew: time - (asked + this.#now()) / 2 }
    return this.#place
  }

  /** A statement that is announced. One whose answer did not come may be carried out later: then its announcement has to be heard here too. */
  async #numbered (name: keyof typeof TEXTS, ...values: unknown[]): Promise<number> {
    try {
      const [row] = await this.#tables.ask<{ stamp: number }>(name, ...values)
      return (row as { stamp: number }).stamp
    } catch (error) {
      if (this.#source !== null && isAway(error)) this.#source = newSource()
      throw error
    }
  }
}

const newSource = (): string => randomBytes(6).toString('hex')

const AWAY = 'The database, which keeps the order of the entries in memcached, does not answer: try again in a moment; if it stays so, check DATABASE_URL and the server.'
