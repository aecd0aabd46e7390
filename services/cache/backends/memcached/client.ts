import { performance } from 'node:perf_hooks'
import { withDeadline } from '../../deadline.js'
import { type Address, Connection } from './connection.js'
import { Dump } from './dump.js'
import { NotConnectedError, ProtocolError, RefusedError } from './faults.js'
import type { ItemName } from './names.js'
import type { Reply } from './replies.js'

/** An item as it was at some moment. */
export interface Seen {
  /** Differs for every change of any item of the server since its start. */
  readonly cas: string
  /** Over which it was seen. The next one may lead to another server, or to one that counts anew. */
  readonly connection: number
}

/** What an item holds. */
export interface Item extends Seen {
  /** Bytes; undefined when only its presence was asked for. */
  value: Buffer | undefined
  /** The number that was stored with it. */
  flags: number
  /** Seconds until the server drops it; Infinity for never; undefined when that was not asked for. */
  ttl: number | undefined
}

export interface Stored {
  value: Buffer
  flags?: number
  /** As `expiry` makes it. */
  expiry: number
}

/** A hold on an item as it is: see `MemcachedClient.claim`. */
export interface Hold extends Seen { readonly name: ItemName }

export interface MemcachedClientOptions {
  /** `memcached://host:port`, with `user:password@` where the server asks for them (its option `-Y`). */
  url: string
  /** Milliseconds without a byte from a server that owes an answer, after which the connection is given up. Default 400. */
  patience?: number
  /** Told when the connection is lost, and when there is one again. */
  onState?: (isReady: boolean, reason?: Error) => void
}

const PORT = 11211
const PATIENCE = 400
/** How long the connection and the first questions over it may take, in milliseconds. */
const OPENING_TIME = 1000
/** Between two tries to connect, in milliseconds. */
const FIRST_PAUSE = 50
const LONGEST_PAUSE = 1000
/** Longer than this many seconds, a time to live is sent as the time of its end. */
const LONGEST_RELATIVE = 60 * 60 * 24 * 30
/** The last second that the server can count to; later is never. */
const LAST_SECOND = 2 ** 31 - 1
/** What the server takes for one item beside its key and value. */
const ITEM_OVERHEAD = 64
const DEFAULT_ITEM_SIZE = 1024 * 1024

/**
 * A client of memcached's meta protocol (`protocol.txt`, "Meta Commands") over one connection, which carries as many requests at
 * once as there are. Without a connection every request fails at once: nothing is queued for later. Every answer has to name the
 * request that it belongs to, and an item's the key; an answer that does not costs the connection, and never passes for another's.
 *
 * Nothing here has a deadline of its own but the connection: whoever asks gives each operation one.
 */
export class MemcachedClient {
  readonly address: Address
  #login: string | undefined
  #patience: number
  #onState: (isReady: boolean, reason?: Error) => void
  #connection: Connection | undefined
  /** Counts connections. */
  #number = 0
  #isReady = false
  #isClosed = false
  #pause = FIRST_PAUSE
  #timer: NodeJS.Timeout | undefined
  #waiting: (() => void)[] = []
  #opaque = 0
  #itemSize = DEFAULT_ITEM_SIZE
  #canDump = true
  #instance = ''
  /** The server's clock: its time in seconds when ours was at so many milliseconds. */
  #clock = { server: Math.floor(Date.now() / 1000), ours: performance.now() }

  constructor ({ url, patience = PATIENCE, onState = () => {} }: MemcachedClientOptions) {
    const { hostname, port, username, password } = new URL(url)
    this.address = { host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? PORT : Number(port) }
    if (username !== '') this.#login = `${decodeURIComponent(username)} ${decodeURIComponent(password)}`
    this.#patience = patience
    this.#onState = onState
    this.#connect()
  }

  get isReady (): boolean { return this.#isReady }
  /** Bytes that one item may take in the server, key and overhead included. */
  get itemSize (): number { return this.#itemSize }
  /** Tells one run of the server from others: process and start. Another one may give the same CAS values for other items. */
  get instance (): string { return this.#instance }
  /** Whether the server lists its items. */
  get canDump (): boolean { return this.#canDump }

  /** Settles when there is a connection, or it is known that there is none yet, or after so many milliseconds. */
  async ready (milliseconds: number): Promise<void> {
    if (this.#isReady) return
    let timer: NodeJS.Timeout | undefined
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, milliseconds)
      this.#waiting.push(resolve)
    }).finally(() => { clearTimeout(timer) })
  }

  /** Whether a value fits into one item under its name. */
  fits (name: ItemName, length: number): boolean { return name.token.length + length + ITEM_OVERHEAD <= this.#itemSize }

  /**
   * The server's word for a time to live: seconds, rounded up, as it counts whole ones; for more than thirty days the time of its end
   * on the server's clock.
   * @param milliseconds from now; Infinity for never
   */
  expiry (milliseconds: number): number {
    if (milliseconds === Infinity) return 0
    // One more, since the server's second may be about to end.
    const seconds = Math.max(1, Math.ceil(milliseconds / 1000)) + 1
    if (seconds <= LONGEST_RELATIVE) return seconds
    const end = this.#clock.server + Math.ceil((performance.now() - this.#clock.ours) / 1000) + seconds
    return end > LAST_SECOND ? 0 : end
  }

  /** The items, in the order of their names; undefined for those that are not there. One round trip. */
  async getMany (names: readonly ItemName[], { values = true, ttl = false }: { values?: boolean, ttl?: boolean } = {}): Promise<(Item | undefined)[]> {
    if (names.length === 0) return []
    const base = this.#opaque
    const connection = this.#number
    this.#opaque += names.length
    const flags = `${values ? 'v ' : ''}${ttl ? 't ' : ''}`
    const lines = names.map(({ token }, at) => `mg ${token} ${flags}c f k O${base + at} q\r\n`)
    return await this.#ask<(Item | undefined)[]>((resolve, reject) => {
      const items: (Item | undefined)[] = names.map(() => undefined)
      let next = 0
      return {
        fail: reject,
        take: (reply) => {
          if (reply.code === 'MN') {
            resolve(items)
            return true
          }
          const marks = marksOf(reply, values ? 'VA' : 'HD')
          const at = Number(marks.get('O')) - base
          const name = names[at]
          if (!(at >= next) || name === undefined || marks.get('k') !== name.token) throw stray(reply)
          items[at] = itemOf(reply, marks, connection)
          next = at + 1
          return false
        }
      }
    }, `${lines.join('')}mn\r\n`)
  }

  async get (name: ItemName, options?: { values?: boolean, ttl?: boolean }): Promise<Item | undefined> {
    const [item] = await this.getMany([name], options)
    return item
  }

  /**
   * Stores an item over the one that was seen, if it is still that, or, without one, where there is none. Answers whether it did.
   * @throws RefusedError when it is too large, or there is no room; the server drops the item that was there then
   */
  async store (name: ItemName, { value, flags = 0, expiry }: Stored, over: Seen | undefined): Promise<boolean> {
    if (over !== undefined && over.connection !== this.#number) return false
    const condition = over === undefined ? 'ME' : `C${over.cas}`
    return await this.#single(name, ['HD', 'NS', 'EX', 'NF'], (token, mark) =>
      [`ms ${token} ${value.length} ${condition} T${expiry} F${flags} ${mark}\r\n`, value, '\r\n'], ({ code }) => code === 'HD')
  }

  /** Removes the item that was seen, if it is still that. Answers whether it did. */
  async remove (name: ItemName, { cas, connection }: Seen): Promise<boolean> {
    if (connection !== this.#number) return false
    return await this.#single(name, ['HD', 'EX', 'NF'], (token, mark) => [`md ${token} C${cas} ${mark}\r\n`], ({ code }) => code === 'HD')
  }

  /**
   * Takes hold of an item as it is now; where there is none, an empty one is put for so many seconds. What can be stored over the claim
   * then comes after no change, removal or eviction. After the leases of Nishtala et al., "Scaling Memcache at Facebook" (NSDI 2013).
   */
  async claim (name: ItemName, seconds: number): Promise<Hold> {
    const connection = this.#number
    const cas = await this.#single(name, ['HD'], (token, mark) => [`mg ${token} c ${mark} N${seconds}\r\n`], (_, marks) => casIn(marks))
    return { name, cas, connection }
  }

  /** A claim that was taken over another connection to the same run of the server. */
  reclaim (name: ItemName, cas: string): Hold { return { name, cas, connection: this.#number } }

  /** @throws ConnectionLostError when there is no answer */
  async ping (): Promise<void> {
    await this.#ask<void>((resolve, reject) => ({
      fail: reject,
      take: (reply) => {
        if (reply.code !== 'MN') throw stray(reply)
        resolve()
        return true
      }
    }), 'mn\r\n')
  }

  /** The names of the server's items that begin so, over a connection of its own. */
  async dump (beginning: string): Promise<Dump> {
    const connection = this.#newConnection(() => {})
    try {
      await withDeadline(this.#logIn(connection), OPENING_TIME)
      return new Dump(connection, beginning)
    } catch (error) {
      connection.close()
      throw error
    }
  }

  close (): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#connection?.close()
  }

  /** A request about one item, whose only reply carries the request's number. */
  async #single<Answer> (
    { token }: ItemName, codes: readonly string[], pieces: (token: string, mark: string) => (string | Buffer)[],
    answer: (reply: Reply, marks: Map<string, string>) => Answer
  ): Promise<Answer> {
    const opaque = `${this.#opaque++}`
    return await this.#ask<Answer>((resolve, reject) => ({
      fail: reject,
      take: (reply) => {
        if (reply.code === 'SERVER_ERROR') {
          reject(new RefusedError(reply.words.join(' ')))
          return true
        }
        const marks = marksOf(reply, ...codes)
        if (marks.get('O') !== opaque || marks.get('k') !== token) throw stray(reply)
        resolve(answer(reply, marks))
        return true
      }
    }), ...pieces(token, `k O${opaque}`))
  }

  async #ask<Answer> (
    request: (resolve: (answer: Answer) => void, reject: (error: Error) => void) => { take: (reply: Reply) => boolean, fail: (error: Error) => void },
    ...pieces: (string | Buffer)[]
  ): Promise<Answer> {
    const connection = this.#connection
    if (connection === undefined || !this.#isReady) throw new NotConnectedError('There is no connection')
    return await new Promise<Answer>((resolve, reject) => { connection.send(request(resolve, reject), ...pieces) })
  }

  #newConnection (onClose: (error: Error) => void): Connection {
    return new Connection({ address: this.address, patience: this.#patience, maxValue: this.#itemSize, onClose })
  }

  #connect (): void {
    const connection = this.#newConnection((reason) => { this.#lost(connection, reason) })
    this.#connection = connection
    withDeadline(this.#open(connection), OPENING_TIME).then(() => {
      if (this.#connection !== connection || this.#isClosed) return
      this.#number++
      this.#isReady = true
      this.#pause = FIRST_PAUSE
      this.#onState(true)
      this.#wake()
    }, (error: Error) => { connection.close(error) })
  }

  #lost (connection: Connection, reason: Error): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#isReady = false
    if (this.#isClosed) return
    this.#onState(false, reason)
    this.#wake()
    // Not all processes at the same moment.
    this.#timer = setTimeout(() => { this.#connect() }, this.#pause * (0.5 + Math.random() / 2)).unref()
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE)
  }

  #wake (): void { for (const resolve of this.#waiting.splice(0)) resolve() }

  async #open (connection: Connection): Promise<void> {
    await this.#logIn(connection)
    const [settings, state] = await Promise.all([statistics(connection, 'stats settings\r\n'), statistics(connection, 'stats\r\n')])
    this.#itemSize = Number(settings.get('item_size_max') ?? DEFAULT_ITEM_SIZE)
    connection.limitValues(this.#itemSize)
    this.#canDump = settings.get('lru_crawler') !== 'no' && settings.get('dump_enabled') !== 'no'
    const time = Number(state.get('time'))
    this.#instance = `${Number(state.get('pid')).toString(36)}-${(time - Number(state.get('uptime'))).toString(36)}`
    if (Number.isSafeInteger(time)) this.#clock = { server: time, ours: performance.now() }
  }

  async #logIn (connection: Connection): Promise<void> {
    await connection.open()
    const login = this.#login
    if (login === undefined) return
    await new Promise<void>((resolve, reject) => {
      connection.send({
        fail: reject,
        take: (reply) => {
          if (reply.code !== 'STORED') throw new ProtocolError('The server does not take the user and password')
          resolve()
          return true
        }
      }, `set login 0 0 ${Buffer.byteLength(login)}\r\n`, Buffer.from(login), '\r\n')
    })
  }
}

async function statistics (connection: Connection, command: string): Promise<Map<string, string>> {
  return await new Promise((resolve, reject) => {
    const found = new Map<string, string>()
    connection.send({
      fail: reject,
      take: (reply) => {
        const { code, words: [name = '', value = ''] } = reply
        if (code === 'END') resolve(found)
        else if (code === 'STAT') found.set(name, value)
        else throw stray(reply)
        return code === 'END'
      }
    }, command)
  })
}

/** The marks behind a reply's code, by their letter. @throws ProtocolError for another code */
function marksOf (reply: Reply, ...codes: string[]): Map<string, string> {
  if (!codes.includes(reply.code)) throw stray(reply)
  const words = reply.code === 'VA' ? reply.words.slice(1) : reply.words
  return new Map(words.map((word) => [word.slice(0, 1), word.slice(1)]))
}

function itemOf ({ value }: Reply, marks: Map<string, string>, connection: number): Item {
  const ttl = marks.get('t')
  return { cas: casIn(marks), connection, value, flags: Number(marks.get('f') ?? 0), ttl: ttl === undefined ? undefined : ttl === '-1' ? Infinity : Number(ttl) }
}

function casIn (marks: Map<string, string>): string {
  const cas = marks.get('c') ?? ''
  if (!/^\d{1,20}$/.test(cas) || cas === '0') throw new ProtocolError('An item without its CAS value: the server must not run with -C')
  return cas
}

const stray = ({ code, words }: Reply): ProtocolError => new ProtocolError(`Not an answer to what was asked: ${[code, ...words].join(' ').slice(0, 80)}`)
