import createClient, { type Client } from 'openapi-fetch'
import type { paths } from './schema.js'

/** One method for each method of HTTP; what a path takes and answers follows from the path. */
export type LarderClient = Client<paths>

interface Where {
  /** Where Larder listens, such as `http://127.0.0.1:8000`; behind a proxy with the path that it adds. */
  url: string | URL
  /** Sends the requests. Default: the `fetch` of the platform. */
  fetch?: (request: Request) => Promise<Response>
  /** Sent with every request, such as `Request-Timeout`. */
  headers?: Record<string, string>
}

/** With an API key, with a valet key, or with neither where the service lets everybody in. */
export type LarderClientOptions = Where & (
  | { apiKey?: string | undefined, token?: undefined }
  | { token?: string | undefined, apiKey?: undefined }
)

/**
 * A client of one service. A request resolves to `{ data, response }`, or to `{ error, response }` with the problem that was answered
 * (RFC 9457); see `ok` for one that throws it. It rejects only where nothing was answered, as `fetch` does.
 */
export function createLarderClient ({ url, apiKey, token, fetch, headers }: LarderClientOptions): LarderClient {
  const client = createClient<paths>({
    baseUrl: String(url).replace(/\/+$/, ''),
    ...fetch === undefined ? {} : { fetch },
    headers: {
      ...headers,
      ...apiKey === undefined ? {} : { 'x-api-key': apiKey },
      ...token === undefined ? {} : { authorization: `Bearer ${token}` }
    }
  })
  client.use({ onRequest: answerFromCache })
  return client
}

/** `fetch` has the data loaded anew, by `no-cache`, as soon as it is asked whether it has changed. What is cached answers that as well. */
function answerFromCache ({ request }: { request: Request }): void {
  if (request.headers.has('if-none-match') && !request.headers.has('cache-control')) request.headers.set('cache-control', 'no-transform')
}
