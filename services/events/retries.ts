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
  for (const [at, { consumer: name, eventId, attempts }] of due.entries()) {
    const consumer = consumers.find((each) => each.name === name)
    const event = await outbox.get(eventId)
    if (consumer === undefined || event === undefined) continue
    if (attempts > delivery.maxAttempts) {
      await delivery.fail(name, event, new Error('Whoever began this never finished it'), { isFinal: true, attempts: attempts - 1 })
      continue
    }
    try {
      await delivery.deliver(consumer, event, signal, attempts)
    } catch (error) {
      // No fault of the events: neither of this one nor of those that were taken with it.
      for (const each of due.slice(at)) await delivery.putBack(each.consumer, each.eventId).catch(() => {})
      throw error
    }
  }
  return due.length === RETRIES
}
