/** A field of a message. */
export type Field = (name: string) => string | undefined

/** The messages of a stream of server-sent events, as far as they have come whole. */
export async function * eventMessages ({ body }: Response): AsyncGenerator<Field> {
  const decoder = new TextDecoder()
  let text = ''
  for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
    text += decoder.decode(chunk, { stream: true })
    for (let end; (end = text.indexOf('\n\n')) !== -1; text = text.slice(end + 2)) {
      const message = text.slice(0, end)
      yield (name) => new RegExp(`^${name}: (.*)$`, 'm').exec(message)?.[1]
    }
  }
}
