import type { Consumer, Delivery } from './consumer.js'
import type { Outbox } from './outbox.js'

export interface RetriesOptions {
  consumers: readonly Consumer[]
  delivery: Delivery
  outbox: Outbox
}

/** Failed events that one look takes up. */
const RETRIES = 20

/** Tries again what has failed and is due. */
export async function retryDue ({ consumers, delivery, outbox }: RetriesOptions, signal?: AbortSignal): Promise<boolean> {
  const due = await delivery.due(RETRIES)
  for (const { consumer: name, eventId } of due) {
    const consumer = consumers.find((each) => each.name === name)
    const event = await outbox.get(eventId)
    if (consumer !== undefined && event !== undefined) await delivery.deliver(consumer, event, signal)
  }
  return due.length === RETRIES
}
