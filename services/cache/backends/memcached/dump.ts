import { setTimeout as delay } from 'node:timers/promises'
import { UnsupportedOperationError } from '../../errors.js'
import type { Connection } from './connection.js'
import { ConnectionLostError, ProtocolError, RefusedError } from './faults.js'
import type { Reply } from './replies.js'

/** Names that wait to be taken before the server is made to wait; a pause holds up other dumps, but nothing else. */
const ENOUGH = 100_000
/** The server makes one dump at a time: how long and how often to ask again, in milliseconds. */
const PATIENCE = 2000
const PAUSE = 20

/** An item as a dump names it: its token, and the bytes that it takes in the server. */
export interface DumpedItem { token: string, size: number }

/** A list of the server's items as they come: `lru_crawler metadump`. */
export class Dump {
  #connection: Connection
  #beginning: string
  #waiting: DumpedItem[] = []
  #isOver = false
  #error: Error | undefined
  #wake = (): void => {}

  /** @param beginning of the names that are wanted */
  constructor (connection: Connection, beginning: string) {
    this.#connection = connection
    this.#beginning = beginning
  }

  /**
   * The items, in portions of at most so many, and no more bytes than that unless it is one item.
   * @throws UnsupportedOperationError when the server does not list them
   */
  async * portions (items: number, bytes: number): AsyncIterable<DumpedItem[]> {
    try {
      await this.#begin()
      for (;;) {
        if (this.#waiting.length < items && !this.#isOver && this.#error === undefined) {
          await new Promise<void>((resolve) => { this.#wake = resolve })
          continue
        }
        if (this.#error !== undefined) throw this.#error
        if (this.#waiting.length === 0) return
        let size = 0
        let count = 0
        for (const item of this.#waiting) {
          if (count === items || (count > 0 && size + item.size > bytes)) break
          size += item.size
          count++
        }
        const portion = this.#waiting.splice(0, count)
        if (this.#waiting.length < ENOUGH / 2) this.#connection.resume()
        yield portion
      }
    } finally {
      this.#connection.close()
    }
  }

  async #begin (): Promise<void> {
    for (const until = Date.now() + PATIENCE; ;) {
      // The whole table: a walk along the LRU (`all`) misses what is used meanwhile.
      if (await this.#ask()) return
      if (Date.now() > until) throw new ConnectionLostError('Another dump takes too long')
      await delay(PAUSE)
    }
  }

  /** Asks for the dump. False when the server is busy with another. */
  async #ask (): Promise<boolean> {
    return await new Promise<boolean>((resolve, reject) => {
      this.#connection.send({
        fail: (error) => {
          reject(error)
          this.#error = error
          this.#wake()
        },
        take: (reply) => {
          if (reply.code.startsWith('key=')) {
            resolve(true)
            this.#add(reply)
            return false
          }
          if (reply.code === 'END') {
            resolve(true)
            this.#isOver = true
            this.#wake()
          } else if (reply.code === 'BUSY') resolve(false)
          else if (reply.code === 'ERROR' || reply.code === 'CLIENT_ERROR') reject(new UnsupportedOperationError(NO_DUMP))
          else if (reply.code === 'SERVER_ERROR') reject(new RefusedError(reply.words.join(' ')))
          else throw new ProtocolError('Not a line of a dump')
          return true
        }
      }, 'lru_crawler metadump hash\r\n')
    })
  }

  #add ({ code, words }: Reply): void {
    const token = decoded(code.slice('key='.length))
    if (!token.startsWith(this.#beginning)) return
    const size = words.find((word) => word.startsWith('size='))?.slice('size='.length)
    this.#waiting.push({ token, size: Number(size ?? 0) })
    if (this.#waiting.length >= ENOUGH) this.#connection.pause()
    this.#wake()
  }
}

/** Why a server without dumps cannot do what needs them. */
export const NO_DUMP = 'This memcached does not list its items: start it without -X and with its LRU crawler on, or use another backend.'

/** A token in which all but the plainest characters stand as `%` and two digits. */
const decoded = (text: string): string => text.replace(/%([0-9A-Fa-f]{2})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
