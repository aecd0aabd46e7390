import createError from '@fastify/error'
import type { Snapshot } from '../metrics.js'
import { isMessage, type Order, type Report } from './messages.js'

/** The channel between two processes; Node's `process` has it in one that was forked. */
export interface Channel {
  readonly connected: boolean
  send? (message: Report, callback: (error: Error | null) => void): unknown
  on (event: 'message', listener: (message: unknown) => void): unknown
}

export const TotalsUnavailableError = createError(
  'ERR_UNAVAILABLE', 'The processes of this service could not be asked in time: try again in a moment.', 503)

/** Milliseconds that the others have; the one that leads answers sooner than that. */
const PATIENCE = 2000

/** One of several processes that serve together: what it tells the one that leads them, and hears from it. */
export class Subordinate {
  readonly #channel: Channel
  readonly #waiting = new Map<number, (text: string | undefined) => void>()
  readonly #count: () => Promise<Snapshot>
  #requests = 0

  /**
   * @param count what this process has counted
   * @param end called when all processes are to end
   */
  constructor (channel: Channel, { count, end }: { count: () => Promise<Snapshot>, end: () => void }) {
    this.#channel = channel
    this.#count = count
    channel.on('message', (message) => {
      if (!isMessage(message)) return
      const order = message as Order
      if (order.larder === 'end') end()
      else if (order.larder === 'count') void this.#report(order.round)
      else this.#waiting.get(order.request)?.(order.text)
    })
  }

  /** What all of them have counted, as Prometheus text. @throws TotalsUnavailableError when that is not known in time */
  async totals (): Promise<string> {
    const request = this.#requests++
    let timer: NodeJS.Timeout | undefined
    const answered = new Promise<string | undefined>((resolve) => {
      timer = setTimeout(() => { resolve(undefined) }, PATIENCE)
      this.#waiting.set(request, resolve)
      this.#send({ larder: 'totals', request })
    })
    const text = await answered.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(request)
    })
    if (text === undefined) throw Object.assign(new TotalsUnavailableError(), { retryAfter: 1 })
    return text
  }

  /** Tells what was counted to the end; resolves when it is on its way. */
  async last (): Promise<void> {
    const snapshot = await this.#count()
    await new Promise<void>((resolve) => { this.#send({ larder: 'last', snapshot }, resolve) })
  }

  async #report (round: number): Promise<void> {
    this.#send({ larder: 'counts', round, snapshot: await this.#count() })
  }

  /** Without the one that leads nobody hears it; that it has gone ends this process too. */
  #send (report: Report, sent = (): void => {}): void {
    if (this.#channel.connected) this.#channel.send?.(report, () => { sent() })
    else sent()
  }
}
