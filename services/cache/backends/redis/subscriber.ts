import { Cluster, type Redis, type RedisOptions } from 'ioredis'
import type { Subscription } from '../follower.js'

/** Milliseconds. */
const RECONNECT_AFTER = 50

const OPTIONS = {
  // `prove` does. The client's own subscribing is waited for by nobody: where it failed, that would end the process.
  autoResubscribe: false,
  enableAutoPipelining: false,
  retryStrategy: (times: number) => Math.min(times * 50, 250)
} satisfies Partial<RedisOptions>

/**
 * The connection on which announcements arrive; it outlives every outage. In a cluster it goes to the master that has the cache's
 * slot, where the announcements are made: over the others they could come late.
 */
export class Subscriber implements Subscription {
  #client: Redis | Cluster
  #channel: string
  #connection: Redis | undefined
  /** In a cluster: the node that the connection leads to. */
  #node: string | undefined
  #slot: number | undefined
  #hear: (message: string) => void = () => {}
  #lost: () => void = () => {}

  /** @param channel has the hash tag of the cache where the client is of a cluster */
  constructor (client: Redis | Cluster, channel: string) {
    this.#client = client
    this.#channel = channel
    if (!(client instanceof Cluster)) this.#use(client.duplicate<Partial<RedisOptions>>(OPTIONS))
  }

  listen (hear: (message: string) => void, lost: () => void): void {
    this.#hear = hear
    this.#lost = lost
  }

  async prove (): Promise<void> {
    const connection = await this.#current()
    try {
      // Subscribing again is harmless, and answers only over a connection that lives.
      await connection.subscribe(this.#channel)
    } catch (error) {
      // A server that hangs may have been replaced by another meanwhile, which a new connection finds.
      if (error instanceof Error && error.message === 'Command timed out') connection.disconnect(true)
      throw error
    }
  }

  /** Settles when the first connection stands, or is known not to. */
  async connected (): Promise<void> {
    const connection = await this.#current().catch(() => undefined)
    if (connection === undefined || connection.status === 'ready') return
    await new Promise<void>((resolve) => {
      connection.once('ready', resolve)
      connection.once('close', resolve)
    })
  }

  close (): void {
    this.#connection?.disconnect()
    this.#connection = undefined
  }

  async #current (): Promise<Redis> {
    if (this.#client instanceof Cluster) {
      this.#slot ??= Number(await this.#client.cluster('KEYSLOT', this.#channel))
      const [node] = this.#client.slots[this.#slot] ?? []
      if (node === undefined) throw new Error('No node of the cluster has the slot of the cache.')
      if (node !== this.#node) {
        const owner = this.#client.nodes('master').find(({ options }) => `${options.host}:${options.port}` === node)
        if (owner === undefined) throw new Error('The node that has the slot of the cache is not known yet.')
        this.close()
        this.#node = node
        this.#use(owner.duplicate<Partial<RedisOptions>>({ ...OPTIONS, lazyConnect: false, readOnly: false, enableOfflineQueue: false }))
      }
    }
    if (this.#connection === undefined) throw new Error('The subscription is closed.')
    return this.#connection
  }

  #use (connection: Redis): void {
    this.#connection = connection
    // Without a listener Node treats a refused connection as fatal; the heartbeat reports it.
    connection.on('error', () => {})
    connection.on('message', (channel: string, message: string) => { if (channel === this.#channel) this.#hear(message) })
    connection.on('close', () => { if (connection === this.#connection) this.#lost() })
    // The client gives up for good when a sentinel tells of a new master while it is about to connect. In a cluster another is made anyway.
    connection.on('end', () => {
      const again = (): void => { if (connection === this.#connection && connection.status === 'end') connection.connect().catch(() => {}) } // the heartbeat reports it
      setTimeout(again, RECONNECT_AFTER).unref()
    })
  }
}
