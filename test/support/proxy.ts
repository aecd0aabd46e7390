import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Owner } from './servers.js'

/**
 * When a connection is cut: before the message is passed on, as soon as it is, or once the server has answered it (the answer is lost).
 * `halfway`: in the middle of the answer. `hanging`: before, and the server does not learn of it.
 */
export type Moment = 'before' | 'during' | 'after' | 'halfway' | 'hanging'

/** How statements are told from what a client sends: PostgreSQL's, Redis' or memcached's way. */
export type Protocol = 'postgres' | 'redis' | 'memcached'

export interface Cut {
  /** Of a query as PostgreSQL's clients send it, be it simple or parsed; of one that is prepared, its name. Of a command of Redis, its words; of memcached its line. */
  statement: RegExp
  moment: Moment
  /** Only in a transaction in which such a statement came before. */
  within?: RegExp
  /** How many such statements pass first. Default 0. */
  skip?: number
  /** How many connections are cut so. Default 1. */
  times?: number
  /** What happens together with it. */
  then?: () => void
}

interface Link { client: Socket, server: Socket }

/** Between a client and a server on 127.0.0.1, and able to be in their way. The names are those of Toxiproxy's toxics. */
export class Proxy {
  readonly port: number
  /** Statements that were passed on, or cut. */
  readonly statements: string[] = []
  /** Connections that were asked for. */
  attempts = 0
  readonly #links = new Set<Link>()
  readonly #target: number
  readonly #server
  readonly #protocol: Protocol
  #isDown = false
  #isSilent = false
  #latency = 0
  #cut: Cut | undefined
  #cuts = 0

  private constructor (port: number, target: number, server: ReturnType<typeof createServer>, protocol: Protocol) {
    this.port = port
    this.#target = target
    this.#server = server
    this.#protocol = protocol
    server.on('connection', (client) => { this.#link(client) })
  }

  static async start (owner: Owner, target: number, protocol: Protocol = 'postgres'): Promise<Proxy> {
    const server = createServer()
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const proxy = new Proxy((server.address() as AddressInfo).port, target, server, protocol)
    owner.teardown(async () => {
      proxy.resetPeer()
      await new Promise((resolve) => { proxy.#server.close(resolve) })
    })
    return proxy
  }

  /** The same address through the proxy. */
  through (url: string): string {
    const other = new URL(url)
    other.port = String(this.port)
    return other.href
  }

  /** Nobody gets through: connections end at once, those that there are included. */
  down (isDown = true): void {
    this.#isDown = isDown
    if (isDown) this.resetPeer()
  }

  /** Cuts every connection, once. */
  resetPeer (): void {
    for (const link of this.#links) end(link)
  }

  /** Connections stay open, and nothing passes. */
  timeout (isSilent = true): void { this.#isSilent = isSilent }

  /** What the server says comes so many milliseconds later. */
  latency (milliseconds: number): void { this.#latency = milliseconds }

  /** Cuts the next connection on which the statement comes, or as many as it says; undefined does not any more. */
  cut (cut: Cut | undefined): void { this.#cut = cut === undefined ? undefined : { ...cut } }

  /** How many were cut by `cut`. */
  get cuts (): number { return this.#cuts }

  #link (client: Socket): void {
    this.attempts++
    client.on('error', () => {})
    if (this.#isDown) {
      client.resetAndDestroy()
      return
    }
    const server = connect(this.#target, '127.0.0.1')
    server.on('error', () => {})
    const link = { client, server }
    this.#links.add(link)
    let lost: Moment | undefined
    let transaction: string[] = []
    let isHanging = false
    let answered: (() => void) | undefined
    const messages = PROTOCOLS[this.#protocol]()
    client.on('data', (data) => {
      if (this.#isSilent) return
      for (const statement of messages.statements(data)) {
        this.statements.push(statement)
        if (/^BEGIN/i.test(statement)) transaction = []
        transaction.push(statement)
        const cut = this.#cut
        const moment = this.#momentFor(statement, transaction)
        if (moment === 'before') {
          end(link)
          return
        }
        if (moment === 'hanging') {
          isHanging = true
          client.resetAndDestroy()
          return
        }
        if (moment === 'during') {
          // The server has it, and finds out afterwards that nobody listens.
          server.write(data, () => { end(link) })
          return
        }
        if (moment === 'after' || moment === 'halfway') {
          lost = moment
          answered = cut?.then
        }
      }
      server.write(data)
    })
    server.on('data', (data) => {
      if (this.#isSilent) return
      if (lost === 'halfway') {
        client.write(data.subarray(0, Math.ceil(data.length / 2)), () => { end(link) })
      } else if (lost !== undefined) {
        end(link)
        answered?.()
      } else if (this.#latency > 0) setTimeout(() => { client.write(data) }, this.#latency)
      else client.write(data)
    })
    const close = (): void => {
      if (isHanging) return
      this.#links.delete(link)
      client.destroy()
      server.destroy()
    }
    client.on('close', close)
    server.on('close', close)
  }

  #momentFor (statement: string, transaction: readonly string[]): Moment | undefined {
    const cut = this.#cut
    if (cut === undefined || !cut.statement.test(statement)) return undefined
    const { within } = cut
    if (within !== undefined && !transaction.some((each) => within.test(each))) return undefined
    if (cut.skip !== undefined && cut.skip-- > 0) return undefined
    if (cut.times === undefined || --cut.times <= 0) this.#cut = undefined
    this.#cuts++
    return cut.moment
  }
}

function end ({ client, server }: Link): void {
  client.resetAndDestroy()
  server.destroy()
}

/** Reads the statements out of what a client sends. */
interface Messages { statements (data: Buffer): string[] }

class PostgresMessages implements Messages {
  #rest = Buffer.alloc(0)
  #isBegun = false

  statements (data: Buffer): string[] {
    const statements: string[] = []
    this.#rest = Buffer.concat([this.#rest, data])
    for (;;) {
      // The first message has no type.
      const head = this.#isBegun ? 1 : 0
      if (this.#rest.length < head + 4) return statements
      const length = head + this.#rest.readInt32BE(head)
      if (this.#rest.length < length) return statements
      const type = this.#isBegun ? String.fromCharCode(this.#rest[0] as number) : ''
      const body = this.#rest.subarray(head + 4, length)
      this.#rest = this.#rest.subarray(length)
      this.#isBegun = true
      if (type === 'Q') statements.push(textUntilNul(body, 0))
      if (type === 'P') statements.push(textUntilNul(body, body.indexOf(0) + 1))
      // What was prepared before is called by its name.
      const name = type === 'B' ? textUntilNul(body, body.indexOf(0) + 1) : ''
      if (name !== '') statements.push(name)
    }
  }
}

const textUntilNul = (body: Buffer, from: number): string => body.toString('utf8', from, body.indexOf(0, from))

/** Commands of RESP: arrays of strings. */
class RedisMessages implements Messages {
  #rest = Buffer.alloc(0)

  statements (data: Buffer): string[] {
    const statements: string[] = []
    this.#rest = Buffer.concat([this.#rest, data])
    for (;;) {
      const words = this.#words()
      if (words === undefined) return statements
      statements.push(words.join(' '))
    }
  }

  /** The next command, once all of it is there. */
  #words (): string[] | undefined {
    let at = 0
    const number = (): number => {
      const end = this.#rest.indexOf('\r\n', at)
      const found = end === -1 ? NaN : Number(this.#rest.toString('latin1', at + 1, end))
      at = end + 2
      return found
    }
    const words: string[] = []
    const count = number()
    if (Number.isNaN(count)) return undefined
    while (words.length < count) {
      const length = number()
      if (Number.isNaN(length) || this.#rest.length < at + length + 2) return undefined
      words.push(this.#rest.toString('latin1', at, at + length))
      at += length + 2
    }
    this.#rest = this.#rest.subarray(at)
    return words
  }
}

/** Lines, those that store with as many bytes behind them as they say. */
class MemcachedMessages implements Messages {
  #rest = Buffer.alloc(0)

  statements (data: Buffer): string[] {
    const statements: string[] = []
    this.#rest = Buffer.concat([this.#rest, data])
    for (;;) {
      const end = this.#rest.indexOf('\r\n')
      const line = this.#rest.toString('latin1', 0, Math.max(0, end))
      const length = /^ms \S+ (\d+)/.exec(line)?.[1]
      const next = end + 2 + (length === undefined ? 0 : Number(length) + 2)
      if (end === -1 || this.#rest.length < next) return statements
      statements.push(line)
      this.#rest = this.#rest.subarray(next)
    }
  }
}

const PROTOCOLS: Record<Protocol, () => Messages> = {
  postgres: () => new PostgresMessages(),
  redis: () => new RedisMessages(),
  memcached: () => new MemcachedMessages()
}
