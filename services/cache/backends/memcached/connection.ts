import { connect, type Socket } from 'node:net'
import { performance } from 'node:perf_hooks'
import { ConnectionLostError, ProtocolError } from './faults.js'
import { type Reply, ReplyParser } from './replies.js'

/** Something that was asked, and is to be answered. */
export interface Request {
  /**
   * The next reply. Answers whether it was the last one for this request.
   * @throws ProtocolError when it is none for this request: the connection is given up
   */
  take (reply: Reply): boolean
  fail (error: Error): void
}

export interface Address { host: string, port: number }

export interface ConnectionOptions {
  address: Address
  /** Milliseconds without a byte from a server that owes an answer, after which the connection is given up. */
  patience: number
  /** Bytes that a value may have. */
  maxValue: number
  /** Told once, why it is closed. */
  onClose: (error: Error) => void
}

/** Between two packets to a silent peer, in milliseconds, to learn that it is gone. */
const KEEP_ALIVE = 15_000

/**
 * A connection to memcached: requests go out as they come, replies belong to them in the same order. Once a reply makes no sense,
 * or does not come, nobody can tell whose the next one is: the connection is closed and everything pending fails.
 */
export class Connection {
  #socket: Socket
  #parser: ReplyParser
  #patience: number
  #pending: { request: Request, askedAt: number }[] = []
  /** Where the oldest of `#pending` is: shifting an array of thousands is slow. */
  #first = 0
  #heardAt = 0
  #watch: NodeJS.Timeout | undefined
  #isCorked = false
  #onClose: (error: Error) => void
  #error: Error | undefined

  constructor ({ address, patience, maxValue, onClose }: ConnectionOptions) {
    this.#patience = patience
    this.#onClose = onClose
    this.#parser = new ReplyParser(maxValue, (reply) => { this.#take(reply) })
    this.#socket = connect({ ...address, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE })
    this.#socket.on('data', (chunk: Buffer) => { this.#feed(chunk) })
    this.#socket.on('error', (error) => { this.close(new ConnectionLostError(error.message)) })
    this.#socket.on('close', () => { this.close(new ConnectionLostError('The server closed the connection')) })
  }

  /** @param bytes that a value may have from now on */
  limitValues (bytes: number): void { this.#parser.maxValue = bytes }

  /** Settles when the connection stands. */
  async open (): Promise<void> {
    if (!this.#socket.connecting) return
    await new Promise<void>((resolve, reject) => {
      this.#socket.once('connect', resolve)
      this.#socket.once('close', () => { reject(this.#error ?? new ConnectionLostError('No connection')) })
    })
  }

  /** Sends a request. Those of one turn of the event loop go out together. */
  send (request: Request, ...pieces: (string | Buffer)[]): void {
    if (this.#error !== undefined) {
      request.fail(this.#error)
      return
    }
    const now = performance.now()
    if (this.#first === this.#pending.length) {
      this.#pending = []
      this.#first = 0
      this.#heardAt = now
    }
    this.#pending.push({ request, askedAt: now })
    this.#watch ??= this.#watchFor(this.#patience)
    if (!this.#isCorked) {
      this.#isCorked = true
      this.#socket.cork()
      process.nextTick(() => {
        this.#isCorked = false
        this.#socket.uncork()
      })
    }
    for (const piece of pieces) {
      if (typeof piece === 'string') this.#socket.write(piece, 'latin1')
      else this.#socket.write(piece)
    }
  }

  /** Takes no more data until `resume`: the server waits. */
  pause (): void { this.#socket.pause() }
  resume (): void {
    this.#heardAt = performance.now()
    this.#socket.resume()
  }

  /** Gives the connection up. Everything pending fails with the error. */
  close (error: Error = new ConnectionLostError('The connection was closed')): void {
    if (this.#error !== undefined) return
    this.#error = error
    clearTimeout(this.#watch)
    this.#socket.destroy()
    const failed = this.#pending.slice(this.#first)
    this.#pending = []
    this.#first = 0
    for (const { request } of failed) request.fail(error)
    this.#onClose(error)
  }

  #feed (chunk: Buffer): void {
    if (this.#error !== undefined) return
    this.#heardAt = performance.now()
    try {
      this.#parser.feed(chunk)
    } catch (error) {
      this.close(error as Error)
    }
  }

  #take (reply: Reply): void {
    const head = this.#pending[this.#first]
    if (head === undefined) throw new ProtocolError('An answer that nobody asked for')
    if (!head.request.take(reply)) return
    this.#pending[this.#first++] = undefined as never // for the collector
  }

  #watchFor (milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      // When this process was the slow one, the answer lies unread in the socket: timers run before input is read.
      setImmediate(() => { this.#look() })
    }, milliseconds).unref()
  }

  #look (): void {
    this.#watch = undefined
    const head = this.#pending[this.#first]
    if (head === undefined || this.#error !== undefined) return
    const silent = this.#socket.isPaused() ? 0 : performance.now() - Math.max(this.#heardAt, head.askedAt)
    if (silent >= this.#patience) this.close(new ConnectionLostError(`No answer within ${this.#patience} ms`))
    else this.#watch = this.#watchFor(Math.max(1, this.#patience - silent))
  }
}
