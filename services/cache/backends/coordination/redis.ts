import type { Cluster, Redis } from 'ioredis'
import { randomBytes } from 'node:crypto'
import type { Now } from '../../clock.js'
import type { Invalidation } from '../../ledger.js'
import type { BreakerState } from '../../breaker.js'
import { ONCE, IDEMPOTENT, type Repeatable } from '../../resilience.js'
import type { Retry } from '../../retry.js'
import { Turns } from '../../turns.js'
import type { ChangeListener, InForce } from '../backend.js'
import type { Announcement } from '../follower.js'
import { Guard } from '../guard.js'
import { fieldsOf, invalidationOf } from '../invalidation-fields.js'
import { parsed } from '../parsed.js'
import { ChannelFollower } from '../redis/channel-follower.js'
import { isFull, isOutage, passing } from '../redis/faults.js'
import { RedisLeases } from '../redis/leases.js'
import type { BegunChange, Coordination, Place } from './coordination.js'
import { orderScripts, type OrderScripted } from './redis-scripts.js'

/** How long an operation may take, in milliseconds. */
const DEADLINE = 200
/** Commands on their way at once. More wait, within their deadline. */
const AT_ONCE = 100

export interface RedisCoordinationOptions {
  /** As for `RedisBackend`. Not closed here. */
  client: Redis | Cluster
  /** Of the backend that is coordinated. */
  name: string
  /** Before every key and channel, `larder:memcached` for instance; for a cluster with a hash tag in it. */
  prefix: string
  now: Now
  /** Milliseconds that an operation may take. Default 200. */
  deadline?: number
  /** As for `RedisBackend`, to which it is the same server. */
  retry?: Retry | undefined
}

/** The order of another server's entries, kept in Redis. */
export class RedisCoordination implements Coordination {
  readonly leases: RedisLeases
  #client: Redis & OrderScripted
  #prefix: string
  #now: Now
  #deadline: number
  #source = newSource()
  #following: ChannelFollower
  #place: Place | undefined
  #placing: Promise<Place> | undefined
  /** How many connections were lost. */
  #losses = 0
  #forget = (): void => {
    this.#place = undefined
    this.#losses++
  }

  #guard: Guard

  constructor ({ client, name, prefix, now, deadline = DEADLINE, retry }: RedisCoordinationOptions) {
    for (const [script, definition] of Object.entries(orderScripts)) if (!(script in client)) client.defineCommand(script, definition)
    // A cluster's client has the same commands.
    this.#client = client as Redis & OrderScripted
    this.#prefix = prefix
    this.#now = now
    this.#deadline = deadline
    this.#following = new ChannelFollower(client, this.#channel)
    this.#guard = new Guard({ name, away: AWAY, isOutage, isFull, retry, passing, isConnected: () => client.status === 'ready', turns: new Turns(AT_ONCE) })
    // What answers over the next connection may be another server: it has to be asked for its epoch before anything else.
    client.on('close', this.#forget)
    this.leases = new RedisLeases({
      client: this.#client,
      names: { counter: this.#counter, channel: this.#channel, lease: (namespace, key) => this.#lease(namespace, key) },
      run: async (command) => {
        await this.place()
        return await this.#placed(command, ONCE)
      },
      stamp: async () => (await this.stamp()).stamp,
      released: (namespace, key) => `0 ${announcement(this.#source, { n: namespace, r: key })}`
    })
  }

  get isFollowing (): boolean { return this.#following.isFollowing }
  get breaker (): BreakerState { return this.#guard.state }

  async place (): Promise<Place> {
    if (this.#place !== undefined && this.isFollowing) return this.#place
    // Whoever asks while a question is under way gets its answer: that one cannot have been asked over an older connection.
    this.#placing ??= this.stamp().finally(() => { this.#placing = undefined })
    return await this.#placing
  }

  async stamp (): Promise<Place> { return await this.#pulse(0, IDEMPOTENT) }

  async begin ({ id, namespace, key }: BegunChange): Promise<Place> {
    await this.place()
    const change = JSON.stringify([namespace, key])
    return await this.#ask(() => this.#client.larderOrderBegin(this.#counter, this.#ledger, this.#begun, id, change), IDEMPOTENT, this.#losses)
  }

  async announce (namespace: string, key: string, id = ''): Promise<number> { return await this.#announce(this.#source, namespace, key, id) }

  async announceForeign ({ id, namespace, key }: BegunChange): Promise<number> { return await this.#announce('', namespace, key, id) }

  async cancel (id: string): Promise<void> { await this.#run(() => this.#client.hdel(this.#begun, id)) }

  async abandoned (age: number): Promise<BegunChange[]> {
    const found = await this.#run(() => this.#client.larderOrderAbandoned(this.#begun, age))
    const changes: BegunChange[] = []
    for (let at = 0; at < found.length; at += 2) {
      const [id = '', text = ''] = found.slice(at, at + 2)
      const [namespace, key] = parsed<[string, string]>(text) ?? []
      if (typeof namespace === 'string' && typeof key === 'string') changes.push({ id, namespace, key })
    }
    return changes
  }

  async invalidate (namespace: string, what: Invalidation): Promise<number> {
    await this.place()
    let isSent = false
    // As in `RedisBackend`, it may be done twice.
    return await this.#placed(() => {
      // What was sent and not answered may be carried out later: then it has to be heard here too.
      if (isSent) this.#source = newSource()
      isSent = true
      return this.#client.larderOrderInvalidate(
        this.#counter, this.#ledger, this.#channel, announcement(this.#source, { n: namespace, i: what }), ...fieldsOf(namespace, what))
    }, IDEMPOTENT).catch((error: unknown) => {
      this.#source = newSource()
      throw error
    })
  }

  async inForce (isUrgent = false): Promise<InForce[]> {
    await this.place()
    const fields = await this.#run(() => this.#client.hgetall(this.#ledger), IDEMPOTENT, isUrgent)
    return Object.entries(fields).flatMap(([field, stamp]) => invalidationOf(field, Number(stamp)) ?? [])
  }

  async withdraw (namespace: string, what: Invalidation, stamp: number): Promise<void> {
    await this.#run(() => Promise.all(fieldsOf(namespace, what).map((field) => this.#client.larderOrderWithdraw(this.#ledger, field, stamp))))
  }

  async follow (listener: ChangeListener): Promise<void> {
    await this.#following.follow({
      isOwn: (source) => source === this.#source,
      listener,
      // As in `RedisBackend`, not behind a long queue.
      pulse: async (heard) => await this.#pulse(heard, undefined, true),
      inForce: async () => await this.inForce(true)
    })
  }

  async close (): Promise<void> {
    this.#following.close()
    this.#client.off('close', this.#forget)
  }

  async #pulse (heard: number, repeatable?: Repeatable, isUrgent = false): Promise<Place> {
    return await this.#ask(() => this.#client.larderOrderPlace(this.#counter, this.#ledger, heard), repeatable, Infinity, isUrgent)
  }

  async #announce (source: string, namespace: string, key: string, id: string): Promise<number> {
    await this.place()
    // Twice is two announcements of one change, of which the later one tells as much.
    return await this.#placed(() => this.#client.larderOrderAnnounce(
      this.#counter, this.#ledger, this.#begun, this.#lease(namespace, key), id, this.#channel, announcement(source, { n: namespace, k: key })), IDEMPOTENT)
  }

  async #ask (question: () => Promise<[string, string, string]>, repeatable?: Repeatable, losses = Infinity, isUrgent = false): Promise<Place> {
    let asked = this.#now()
    const [stamp, epoch, time] = await this.#run(() => {
      asked = this.#now()
      this.#placeAgain(losses)
      return question()
    }, repeatable, isUrgent)
    // The answer was made about half way between question and answer.
    const place = { stamp: Number(stamp), epoch, skew: Number(time) - (asked + this.#now()) / 2 }
    if (this.#client.status === 'ready') this.#place = place
    return place
  }

  /** A command that follows the place. */
  async #placed<T> (command: () => Promise<T>, repeatable: Repeatable): Promise<T> {
    const losses = this.#losses
    return await this.#run(() => {
      this.#placeAgain(losses)
      return command()
    }, repeatable)
  }

  /** Another connection than before may lead to another server, which has to be asked for its epoch first: it answers in order. */
  #placeAgain (losses: number): void {
    if (this.#losses > losses) this.#client.larderOrderPlace(this.#counter, this.#ledger, 0).catch(() => {}) // what follows tells of the fault
  }

  async #run<T> (command: () => Promise<T>, repeatable?: Repeatable, isUrgent = false): Promise<T> {
    return await this.#guard.run(command, this.#deadline, repeatable, isUrgent)
  }

  get #counter (): string { return `${this.#prefix}:counter` }
  get #ledger (): string { return `${this.#prefix}:ledger` }
  get #begun (): string { return `${this.#prefix}:begun` }
  #lease (namespace: string, key: string): string { return `${this.#prefix}:lease:${namespace}:${key}` }
  get #channel (): string { return `${this.#prefix}:changes` }
}

const newSource = (): string => randomBytes(6).toString('hex')

const announcement = (source: string, what: Omit<Announcement, 'v' | 's'>): string => JSON.stringify({ v: 1, s: source, ...what } satisfies Announcement)

const AWAY = 'Redis, which keeps the order of the entries in memcached, does not answer: try again in a moment; if it stays so, check REDIS_URL and the server.'
