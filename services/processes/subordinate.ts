import createError from '@fastify/error'
import type { Snapshot } from '../metrics.js'
import { type Answer, isMessage, type Order, type Question, type Report } from './messages.js'
import type { Change, RowName } from './rows.js'

/** The channel between two processes; Node's `process` has it in one that was forked. */
export interface Channel {
  readonly connected: boolean
  send? (message: Report, callback: (error: Error | null) => void): unknown
  on (event: 'message', listener: (message: unknown) => void): unknown
}

export interface SubordinateOptions {
  /** What the metrics of this process have counted. */
  count: () => Promise<Snapshot>
  /** Which rows have changed since they were told of. */
  tally: (asked: readonly RowName[]) => Promise<Change[]>
  /** What this process has to say of something. */
  tell: (about: unknown) => Promise<unknown>
  /** Called when all processes are to end. */
  end: () => void
}

/** All processes that serve together, this one among them. */
export interface Others {
  /** What their metrics have counted, as Prometheus text. @throws TotalsUnavailableError when that is not known in time */
  totals (): Promise<string>
  /** What they know. @throws TotalsUnavailableError likewise */
  ask (question: Question): Promise<Answer>
}

export const TotalsUnavailableError = createError(
  'ERR_UNAVAILABLE', 'The processes of this service could not be asked in time: try again in a moment.', 503)

/** Milliseconds that the others have; the one that leads answers sooner than that. */
const PATIENCE = 2000

/** One of several processes that serve together: what it tells the one that leads them, and hears from it. */
export class Subordinate implements Others {
  readonly #channel: Channel
  readonly #options: SubordinateOptions
  readonly #waiting = new Map<number, (answer: string | Answer | undefined) => void>()
  #requests = 0

  constructor (channel: Channel, options: SubordinateOptions) {
    this.#channel = channel
    this.#options = options
    channel.on('message', (message) => { if (isMessage(message)) void this.#hear(message as Order) })
  }

  async totals (): Promise<string> { return await this.#asked((request) => ({ larder: 'totals', request })) as string }

  async ask (question: Question): Promise<Answer> { return await this.#asked((request) => ({ larder: 'ask', request, question })) as Answer }

  /** Tells what was counted to the end; resolves when it is on its way. */
  async last (): Promise<void> {
    const [snapshot, changes] = await Promise.all([this.#options.count(), this.#options.tally([])])
    await new Promise<void>((resolve) => { this.#send({ larder: 'last', snapshot, changes }, resolve) })
  }

  async #hear (order: Order): Promise<void> {
    const { count, tally, tell, end } = this.#options
    switch (order.larder) {
      case 'end': return end()
      case 'count': return this.#send({ larder: 'counts', round: order.round, snapshot: await count() })
      case 'tally': return this.#send({ larder: 'tally', round: order.round, changes: await tally(order.asked) })
      case 'tell': return this.#send({ larder: 'told', round: order.round, told: await tell(order.about) })
      case 'answer': this.#waiting.get(order.request)?.(order.answer)
    }
  }

  async #asked (report: (request: number) => Report): Promise<string | Answer> {
    const request = this.#requests++
    let timer: NodeJS.Timeout | undefined
    const answered = new Promise<string | Answer | undefined>((resolve) => {
      timer = setTimeout(() => { resolve(undefined) }, PATIENCE)
      this.#waiting.set(request, resolve)
      this.#send(report(request))
    })
    const answer = await answered.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(request)
    })
    if (answer === undefined) throw Object.assign(new TotalsUnavailableError(), { retryAfter: 1 })
    return answer
  }

  /** Without the one that leads nobody hears it; that it has gone ends this process too. */
  #send (report: Report, sent = (): void => {}): void {
    if (this.#channel.connected) this.#channel.send?.(report, () => { sent() })
    else sent()
  }
}
