import { createParser } from 'eventsource-parser'
import { ProblemError } from './problem-error.js'

export interface StreamMessage {
  event: string
  /** The message's JSON. */
  data: unknown
  id?: string
}

/** `waiting`: cut off, and coming back in a moment. `refused`: not coming back, since the service does not want it. */
export type StreamState = 'connecting' | 'open' | 'waiting' | 'refused'

export interface StreamListener {
  onMessage: (message: StreamMessage) => void
  onState?: (state: StreamState, error?: ProblemError) => void
}

/** Milliseconds before it comes back at first; doubled each time, up to the longest. */
const SHORTEST = 500
const LONGEST = 10_000

/**
 * Server-sent events over `fetch`, since the browser's own EventSource sends no credential. Cut off, it comes back where it was
 * (`Last-Event-ID`); turned away (4xx but 429), it does not.
 */
export class EventStream {
  readonly #open: (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>
  readonly #listener: StreamListener
  readonly #end = new AbortController()
  #lastId: string | undefined
  #delay = SHORTEST

  /** @param open asks for the stream; rejects with a ProblemError */
  constructor (open: (headers: Record<string, string>, signal: AbortSignal) => Promise<Response>, listener: StreamListener) {
    this.#open = open
    this.#listener = listener
    void this.#run()
  }

  close (): void {
    this.#end.abort()
  }

  async #run (): Promise<void> {
    const { signal } = this.#end
    while (!signal.aborted) {
      let fault: ProblemError
      try {
        this.#tell('connecting')
        await this.#listen()
        fault = ProblemError.unreachable('The stream ended.')
      } catch (error) {
        if (signal.aborted) return
        fault = error instanceof ProblemError ? error : ProblemError.unreachable(error)
      }
      if (signal.aborted) return
      if (fault.status >= 400 && fault.status < 500 && fault.status !== 429) return this.#tell('refused', fault)
      this.#tell('waiting', fault)
      await pause(Math.max(this.#delay, (fault.retryAfter ?? 0) * 1000), signal)
      this.#delay = Math.min(LONGEST, this.#delay * 2)
    }
  }

  async #listen (): Promise<void> {
    const { signal } = this.#end
    const response = await this.#open({ accept: 'text/event-stream', ...this.#lastId !== undefined && { 'last-event-id': this.#lastId } }, signal)
    this.#tell('open')
    const parser = createParser({
      onEvent: ({ event = 'message', data, id }) => {
        this.#delay = SHORTEST
        if (id !== undefined) this.#lastId = id
        this.#listener.onMessage({ event, data: JSON.parse(data), ...id !== undefined && { id } })
      }
    })
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      parser.feed(value)
    }
  }

  #tell (state: StreamState, error?: ProblemError): void {
    this.#listener.onState?.(state, error)
  }
}

function pause (milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds)
    signal.addEventListener('abort', () => {
      clearTimeout(timer)
      resolve()
    }, { once: true })
  })
}
