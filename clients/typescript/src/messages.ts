import { EventSourceParserStream } from 'eventsource-parser/stream'

/** A message of a stream of events. */
export interface Message<T> {
  /** Sent as `last-event-id`, it goes on after this message. */
  id: string | undefined
  /** What kind of message it is. */
  event: string | undefined
  data: T
}

/**
 * The messages of `/events` and the other streams, as they come; leaving the loop ends the stream.
 *
 *     const stream = await ok(larder.GET('/events', { parseAs: 'stream' }))
 *     for await (const { data } of messages<StreamedEvent>(stream)) …
 */
export async function * messages<T> (stream: ReadableStream<Uint8Array> | null): AsyncGenerator<Message<T>, void> {
  if (stream === null) return
  const reader = stream.pipeThrough(new TextDecoderStream() as ReadableWritablePair<string, Uint8Array>).pipeThrough(new EventSourceParserStream()).getReader()
  try {
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      const { id, event, data } = next.value
      yield { id, event, data: JSON.parse(data) as T }
    }
  } finally {
    // Who leaves in the middle wants no more; the connection ends with the stream.
    await reader.cancel()
  }
}
