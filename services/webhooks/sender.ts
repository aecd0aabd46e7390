import { request as requestHttp, type RequestOptions } from 'node:http'
import { request as requestHttps } from 'node:https'
import type { OutgoingGuard } from './outgoing-guard.js'

/** What came of sending something once. */
export interface Sent {
  /** undefined: there was no answer. */
  status?: number
  /** Seconds that the receiver asks to be left alone. */
  retryAfter?: number
  /** Why there was no answer, in words without anything that the receiver said. */
  error?: string
}

/** Milliseconds that a receiver has for its answer. */
const DEADLINE = 15_000
/** Words for what the system says. */
const FAULTS: Record<string, string> = {
  ECONNREFUSED: 'The connection was refused',
  ECONNRESET: 'The connection was cut',
  ENOTFOUND: 'The name does not exist',
  EAI_AGAIN: 'The name could not be resolved',
  ERR_ADDRESS_FORBIDDEN: 'The name leads to an address that may not be called',
  ABORT_ERR: `There was no answer within ${DEADLINE / 1000} seconds`,
  EPIPE: 'The connection was cut',
  ENETUNREACH: 'There is no way to the network',
  EHOSTUNREACH: 'There is no way to the host',
  ETIMEDOUT: 'The connection took too long'
}

export interface SenderOptions {
  guard: OutgoingGuard
  /** Milliseconds that a receiver has for its answer. Default 15 000. */
  deadline?: number
}

/** Posts messages to receivers. Redirections are not followed, and of an answer the status alone is looked at. */
export class Sender {
  readonly #guard: OutgoingGuard
  readonly #deadline: number

  constructor ({ guard, deadline = DEADLINE }: SenderOptions) {
    this.#guard = guard
    this.#deadline = deadline
  }

  /** Never rejects. */
  async post (address: string, body: string, headers: Record<string, string>, stopping?: AbortSignal): Promise<Sent> {
    let url: URL
    try {
      url = this.#guard.check(address)
    } catch (error) {
      return { error: (error as Error).message }
    }
    const deadline = AbortSignal.timeout(this.#deadline)
    const options: RequestOptions = {
      method: 'POST',
      agent: false, // a connection for each: what it was resolved to is looked at each time
      lookup: this.#guard.lookup,
      signal: stopping === undefined ? deadline : AbortSignal.any([deadline, stopping]),
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body), 'user-agent': 'Larder', ...headers }
    }
    return await new Promise((resolve) => {
      const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, options, (response) => {
        const after = Number(response.headers['retry-after'])
        resolve({ status: response.statusCode!, ...Number.isFinite(after) && after > 0 && { retryAfter: after } })
        response.destroy()
      })
      request.on('error', (error: NodeJS.ErrnoException) => {
        resolve({ error: FAULTS[error.code ?? ''] ?? 'The receiver could not be reached' })
      })
      request.end(body)
    })
  }
}
