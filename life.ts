import closeWithGrace, { type Options } from 'close-with-grace'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'

/** Milliseconds that requests under way get to finish, and after which the process ends in any case; both once nobody new is let in. */
const DRAIN = 7000
const GRACE = 9000
/** Milliseconds between looks for kept connections whose last request is answered. */
const IDLE = 100

export interface LifeOptions {
  /** Milliseconds for which a service that is told to end still answers, so that whoever sends requests to it sees that it is not ready any more. */
  delay: number
  /** One of several processes, which another leads: that one knows of signals from a terminal, and may say `end` more than once. */
  isLed?: boolean
  /** What is still to be done when everything is closed. */
  last?: () => Promise<void>
}

export interface Life {
  /** Whether the end has begun. */
  readonly isEnding: boolean
  /** Begins the end, without the delay. */
  end (): void
}

/** Milliseconds after which a process that was told to end has done so, one way or another. */
export function longestEnd (delay: number): number {
  return delay + GRACE
}

/**
 * How a process ends. Told to (SIGTERM, SIGINT, or by whoever leads it), it is not ready from this moment on, lets nobody in after the delay (SIGINT:
 * at once), ends streams, finishes what is under way, writes what waits to be written, and exits with 0. An error that nothing caught goes the
 * same way, and exits with 1. A second signal, or an end that takes too long, exits with 1 at once: what was acknowledged is in
 * the journal, which the next start takes up.
 */
export function live (starting: Promise<FastifyInstance>, { delay, isLed = false, last = async () => {} }: LifeOptions): Life {
  let isEnding = false
  let isPatient = false
  const grace: Options = { delay: longestEnd(delay), logger: false, ...(isLed && { skip: ['SIGTERM', 'SIGINT'] }) }
  const { close } = closeWithGrace(grace, async ({ err, signal, manual }) => {
    isEnding = true
    const app = await starting
    app.health.stopping()
    if (err) app.log.fatal({ err }, 'stopping: an error that nothing caught')
    else app.log.info(`${signal ?? (manual === true ? 'told to end' : 'end of work')}: finishing what is under way`)
    if (app.server.listening) {
      sayGoodbye(app)
      if (signal === 'SIGTERM' || isPatient) await sleep(delay)
    }
    const impatience = setTimeout(() => app.server.closeAllConnections(), DRAIN)
    // Node lets go of the connections that are idle when it begins to close, and waits for those that become so later.
    const idleness = setInterval(() => app.server.closeIdleConnections(), IDLE)
    await app.close()
    clearInterval(idleness)
    clearTimeout(impatience)
    await last()
  })
  const end = (): void => {
    if (!isEnding) close()
    isEnding = true
  }
  if (isLed) {
    process.on('SIGTERM', () => {
      isPatient = !isEnding
      end()
    })
    // From a terminal it comes to all processes at once: the one that leads tells the others.
    process.on('SIGINT', () => {})
  }
  return { get isEnding () { return isEnding }, end }
}

/** Whoever keeps a connection is told with the next answer that there is none after it. */
function sayGoodbye ({ server }: FastifyInstance): void {
  server.prependListener('request', (_request, response: { shouldKeepAlive: boolean }) => { response.shouldKeepAlive = false })
}
