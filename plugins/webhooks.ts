import SQL from '@nearform/sql'
import fp from 'fastify-plugin'
import { secretOf } from '../services/access/secret-file.js'
import { Sealer } from '../services/access/valet/sealer.js'
import { Loop } from '../services/events/loop.js'
import type { Sample } from '../services/metrics.js'
import { Courier, OUTCOMES } from '../services/webhooks/courier.js'
import { OutgoingGuard } from '../services/webhooks/outgoing-guard.js'
import { Sender } from '../services/webhooks/sender.js'
import { WebhookConsumer } from '../services/webhooks/webhook-consumer.js'
import { Webhooks } from '../services/webhooks/webhooks.js'
import type {} from './api-keys.js'
import type {} from './credentials.js'
import type {} from './events.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Where events are sent to over HTTP. */
    webhooks: Webhooks
  }
}

export interface WebhooksPluginOptions {
  /** Names of the hosts that may be called. Default none, and nothing is sent. */
  hosts?: readonly string[]
  /** Addresses and ranges that may be called although they are not public, by HTTP as well. Default none. */
  addresses?: readonly string[]
  /** Whether this process sends. Default true. */
  worker?: boolean
  /** Of which a key is made that seals the webhooks' own; absent: the one under `dataDir`. */
  secrets?: readonly string[]
  dataDir: string
}

const PURPOSE = 'larder webhooks'
/** Milliseconds between looks for what is due. */
const IDLE = 500
/** Days that it is known what became of a delivery. */
const KEPT = 30
const PRUNING = 3_600_000
const PRUNED = 1000

/** Sends events to whoever has asked for them over HTTP, signed (Standard Webhooks 1.0.0), with attempts over three days. */
export default fp<WebhooksPluginOptions>(async function webhooks (app, { hosts, addresses, worker = true, secrets, dataDir }) {
  const { database, outbox, heldKeys, credentials } = app
  const guard = new OutgoingGuard({ ...hosts && { hosts }, ...addresses && { addresses } })
  const sealer = new Sealer(secrets ?? [await secretOf(dataDir)], PURPOSE)
  app.decorate('webhooks', new Webhooks({ database, sealer, guard }))

  const counts = Object.fromEntries(OUTCOMES.map((outcome) => [outcome, 0])) as Record<typeof OUTCOMES[number], number>
  app.metrics.addCollector((): Sample[] => OUTCOMES.map((outcome) => ({
    name: 'larder_webhook_attempts_total', help: 'Attempts to send an event to a webhook, by what came of them; given_up: after the last one', type: 'counter', labels: { outcome }, value: counts[outcome]
  })))
  // Where nobody may be called, no event has one more consumer to pass.
  if (!worker || !guard.isOpen) return
  app.eventConsumers.push(new WebhookConsumer())

  const courier = new Courier({
    database,
    sealer,
    sender: new Sender({ guard }),
    eventOf: async (id) => await outbox.get(id),
    isHeld: async (owner) => {
      if (!owner.startsWith('key:')) return true
      await credentials.ensureCurrent()
      return (heldKeys.endOf(owner.slice('key:'.length)) ?? 0) > Date.now()
    },
    log: app.log,
    onAttempt: (outcome) => { counts[outcome]++ }
  })
  const onFault = (err: unknown): void => { app.log.warn({ err }, 'webhooks wait: what they need is away') }
  const loops = [
    new Loop(async (stopping) => await courier.turn(stopping), { idle: IDLE, onFault }),
    new Loop(async () => {
      const { rowCount } = await database.query(SQL`
        DELETE FROM webhook_deliveries WHERE id IN (
          SELECT id FROM webhook_deliveries WHERE state <> 'pending' AND created_at < now() - make_interval(days => ${KEPT}) LIMIT ${PRUNED})`)
      return rowCount === PRUNED
    }, { idle: PRUNING, onFault })
  ]
  app.addHook('onReady', async () => { for (const loop of loops) loop.start() })
  app.addHook('preClose', async () => { await Promise.all(loops.map(async (loop) => { await loop.stop() })) })
}, { name: 'webhooks', fastify: '5.x', dependencies: ['events', 'api-keys', 'credentials', 'metrics'] })
