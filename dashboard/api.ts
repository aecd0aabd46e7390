import { EventStream, type StreamListener } from './event-stream.js'
import { ProblemError } from './problem-error.js'

export interface RequestOptions {
  /** What is undefined or empty is left out. */
  query?: Record<string, string | number | boolean | undefined>
  /** Sent as JSON. */
  body?: unknown
  headers?: Record<string, string>
  signal?: AbortSignal
}

export interface RawOptions extends Omit<RequestOptions, 'body'> {
  body?: BodyInit
}

/** An answer with what stands around it. */
export interface Answer<T> {
  readonly body: T
  readonly headers: Headers
  readonly status: number
  /** From the question to the whole of the answer. */
  readonly seconds: number
}

/** Larder's API, as the bearer of a credential, or as nobody in particular. Every answer that is not one of success is a ProblemError. */
export class Api {
  readonly #credential: string | undefined
  readonly #origin: string

  /** @param origin default: where the page comes from */
  constructor (credential?: string, origin = '') {
    this.#credential = credential
    this.#origin = origin
  }

  /** Sends, and answers the response as it comes. */
  async raw (method: string, path: string, { query, body, headers, signal }: RawOptions = {}): Promise<Response> {
    let response: Response
    try {
      response = await fetch(this.address(path, query), {
        method,
        // A browser that keeps nothing would ask for `no-cache` by itself, and looking would go past the service's caches and fill them anew.
        headers: { accept: 'application/json', 'cache-control': 'no-transform', ...this.authorization(), ...headers },
        cache: 'no-store',
        ...body !== undefined && { body },
        ...signal && { signal }
      })
    } catch (error) {
      throw signal?.aborted === true ? error : ProblemError.unreachable(error)
    }
    if (!response.ok) throw await ProblemError.of(response)
    return response
  }

  async ask<T> (method: string, path: string, { body, headers, ...options }: RequestOptions = {}): Promise<Answer<T>> {
    const started = performance.now()
    const json = body === undefined ? {} : { body: JSON.stringify(body) }
    const response = await this.raw(method, path, { ...options, ...json, headers: { ...body !== undefined && { 'content-type': 'application/json' }, ...headers } })
    const text = await response.text()
    const seconds = (performance.now() - started) / 1000
    return { body: (text === '' ? undefined : JSON.parse(text)) as T, headers: response.headers, status: response.status, seconds }
  }

  async get<T> (path: string, options?: RequestOptions): Promise<T> {
    return (await this.ask<T>('GET', path, options)).body
  }

  async post<T> (path: string, options?: RequestOptions): Promise<T> {
    return (await this.ask<T>('POST', path, options)).body
  }

  async put<T> (path: string, options?: RequestOptions): Promise<T> {
    return (await this.ask<T>('PUT', path, options)).body
  }

  async delete<T> (path: string, options?: RequestOptions): Promise<T> {
    return (await this.ask<T>('DELETE', path, options)).body
  }

  /** Listens to server-sent events, and comes back by itself when it was cut off. Answers how to end it. */
  stream (path: string, listener: StreamListener, query?: RequestOptions['query']): () => void {
    const stream = new EventStream((headers, signal) => this.raw('GET', path, { ...query && { query }, headers, signal }), listener)
    return () => { stream.close() }
  }

  /** For what `fetch` cannot do, such as telling how much of an upload is sent. */
  authorization (): Record<string, string> {
    return this.#credential === undefined ? {} : { authorization: `Bearer ${this.#credential}` }
  }

  address (path: string, query: RequestOptions['query'] = {}): string {
    const search = new URLSearchParams()
    for (const [name, value] of Object.entries(query)) if (value !== undefined && value !== '') search.set(name, String(value))
    return `${this.#origin}${path}${search.size === 0 ? '' : `?${search}`}`
  }
}
