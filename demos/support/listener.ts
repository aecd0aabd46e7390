import type { Address } from './requests.js'

export interface Heard { readonly id: string, readonly type: string, readonly data: Record<string, unknown> }

/** A listener to server-sent events, as a browser's EventSource would be one. */
export class Listener {
  readonly heard: Heard[] = []
  readonly #gone = new AbortController()

  private constructor () {}

  /** Resolves when the stream is open. `after` is the id of the last event that was heard: the stream goes on behind it. */
  static async open (to: Address, path: string, after?: string): Promise<Listener> {
    const listener = new Listener()
    const response = await fetch(to.url + path, {
      headers: { accept: 'text/event-stream', ...after !== undefined && { 'last-event-id': after } }, signal: listener.#gone.signal
    })
    if (response.status !== 200 || response.body === null) throw new Error(`${path} answers ${response.status}: ${await response.text()}`)
    // It ends with an error when it is cut off, which is what is wanted then.
    listener.#read(response.body).catch(() => {})
    return listener
  }

  /** Hangs up. */
  close (): void {
    this.#gone.abort()
  }

  async #read (body: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of body as unknown as AsyncIterable<Uint8Array>) {
      text += decoder.decode(chunk, { stream: true })
      for (let end; (end = text.indexOf('\n\n')) !== -1; text = text.slice(end + 2)) this.#take(text.slice(0, end))
    }
  }

  #take (message: string): void {
    const field = (name: string): string | undefined => new RegExp(`^${name}: (.*)$`, 'm').exec(message)?.[1]
    const [id, type, data] = [field('id'), field('event'), field('data')]
    if (id !== undefined && type !== undefined && data !== undefined) this.heard.push({ id, type, data: JSON.parse(data) as Record<string, unknown> })
  }
}
