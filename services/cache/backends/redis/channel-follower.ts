import type { Cluster, Redis } from 'ioredis'
import { Follower, type FollowerOptions } from '../follower.js'
import { Subscriber } from './subscriber.js'

/** Follows the announcements on a channel of Redis. */
export class ChannelFollower {
  #client: Redis | Cluster
  #channel: string
  #subscriber: Subscriber | undefined
  #follower: Follower | undefined

  constructor (client: Redis | Cluster, channel: string) {
    this.#client = client
    this.#channel = channel
  }

  get isFollowing (): boolean { return this.#follower?.isFollowing ?? false }

  /** Begins. Settles when announcements come, or are known not to. */
  async follow (options: Omit<FollowerOptions, 'subscription'>): Promise<void> {
    const subscriber = new Subscriber(this.#client, this.#channel)
    this.#subscriber = subscriber
    this.#follower = new Follower({ ...options, subscription: subscriber })
    // Where commands cannot be sent, there is nothing to wait for: the heartbeat tells when there is.
    if (this.#client.status !== 'ready') return
    await subscriber.connected()
    await this.#follower.beat()
  }

  close (): void {
    this.#follower?.stop()
    this.#subscriber?.close()
  }
}
