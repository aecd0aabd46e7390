import SQL from '@nearform/sql'
import type { Queryable } from '../database.js'
import type { Consumer } from '../events/consumer.js'
import type { Event } from '../events/event.js'
import { typeFilter } from '../events/feed.js'
import { kindOf } from '../events/kinds.js'

/** Notes for each webhook that an event is to be sent there: the sending is done apart, so that no receiver keeps events waiting. */
export class WebhookConsumer implements Consumer {
  readonly name = 'webhooks'

  handles (): boolean {
    return true
  }

  async handle ({ id, type, time }: Event, transaction: Queryable): Promise<void> {
    const { rows } = await transaction.query<{ id: string, types: string | null, kinds: string[] }>(SQL`
      SELECT id, types, kinds FROM webhooks WHERE state <> 'disabled' AND created_at <= ${new Date(time)}`)
    const kind = kindOf(type)
    const wanted = rows.filter(({ types, kinds }) => (kind === undefined || kinds.includes(kind)) && typeFilter(types ?? undefined)(type))
    if (wanted.length === 0) return
    await transaction.query(SQL`
      INSERT INTO webhook_deliveries (webhook_id, event_id, type) SELECT webhook_id, ${id}, ${type} FROM unnest(${wanted.map((each) => each.id)}::uuid[]) AS webhook_id
      ON CONFLICT DO NOTHING`)
  }
}
