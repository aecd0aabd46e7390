import createError from '@fastify/error'
import type { FastifyReply } from 'fastify'
import fp from 'fastify-plugin'
import { Overload, type OverloadOptions, PRIORITIES, type Priority } from '../services/limits/overload.js'
import type {} from './gatekeeper.js'
import type {} from './metrics.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Who is let in last when there is too much to do. Default `ordinary`. */
    priority?: Priority
  }
  interface FastifyReply {
    /** Says that the rest of the answer is no work that is under way: it stays open for as long as the caller likes. Absent without this plugin. */
    stayOpen?: () => void
  }
}

const ReducedCapacityError = createError(
  'ERR_TEMPORARY_REDUCED_CAPACITY', 'There is more to do just now than can be done in time: try again after the time in Retry-After.', 503)
/** Seconds, at most: not everybody comes back at once. */
const LONGEST_WAIT = 5
/** Milliseconds between two lines of the log that say so. */
const SILENCE = 10_000

/** Turns requests away, the least important first, while this process cannot keep up; before it is asked who makes them. */
export default fp<OverloadOptions>(async function overload (app, options) {
  const overload = new Overload(options)
  // Not while it starts: that takes as long as it takes.
  app.addHook('onReady', async () => { overload.start() })
  app.addHook('onClose', async () => { overload.stop() })
  const leave = (): void => { overload.underWay-- }
  app.decorateReply('stayOpen', function stayOpen (this: FastifyReply) {
    if (!this.raw.listeners('close').includes(leave)) return
    this.raw.off('close', leave)
    leave()
  })
  let told = -Infinity
  /** Not of each: that would make more of what there is too much of. */
  const tell = (): void => {
    if (performance.now() - told < SILENCE) return
    told = performance.now()
    app.log.warn({ under_way: overload.underWay, delay_ms: Math.round(overload.delay), shed: overload.shed }, 'requests are turned away: there is more to do than can be done in time')
  }

  app.gatekeeper.before((_request, reply, priority) => {
    if (!overload.admits(priority)) {
      tell()
      return Object.assign(new ReducedCapacityError(), { retryAfter: 1 + Math.floor(Math.random() * LONGEST_WAIT), isTold: true })
    }
    overload.underWay++
    // Also when the caller has gone before its answer came. It comes once by itself: `once` would make three objects to see to it.
    reply.raw.on('close', leave)
    return undefined
  })

  app.metrics.addCollector(() => [
    ...PRIORITIES.map((priority) => ({
      name: 'larder_requests_shed_total', help: 'Requests turned away because there was too much to do', type: 'counter' as const, labels: { priority }, value: overload.shed[priority]
    })),
    { name: 'larder_requests_under_way', help: 'Requests that are not answered yet', type: 'gauge', value: overload.underWay },
    { name: 'larder_event_loop_sustained_delay_seconds', help: 'By how much the event loop was late three times in a row', type: 'gauge', value: overload.delay / 1000, across: 'highest' }
  ])
}, { name: 'overload', fastify: '5.x', dependencies: ['gatekeeper', 'metrics'] })
