import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { eventually } from './caches.js'
import type { Owner } from './servers.js'

export const SERVER = 2
export const CLIENT = 3
export const CONSUMER = 5

/** A span as it arrived, its attributes and those of its resource as plain objects. */
export interface ReceivedSpan {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  attributes: Record<string, string | number | boolean>
  resource: Record<string, string | number | boolean>
  links: { traceId: string, spanId: string }[]
  status: { code: number, message?: string }
}

/** What it does with what comes: takes it, refuses it, or never answers. */
type Mood = 'takes' | 'refuses' | 'hangs'

type Pairs = { key: string, value: { stringValue?: string, intValue?: number, doubleValue?: number, boolValue?: boolean } }[]
interface Export {
  resourceSpans: { resource: { attributes: Pairs }, scopeSpans: { spans: (Omit<ReceivedSpan, 'attributes' | 'resource'> & { attributes: Pairs })[] }[] }[]
}

/** A collector that takes OTLP over HTTP, in JSON. */
export class OtlpReceiver {
  mood: Mood = 'takes'
  readonly spans: ReceivedSpan[] = []
  readonly requests: { path: string, headers: IncomingHttpHeaders }[] = []
  /** Everything that arrived, as it came. */
  text = ''
  readonly #server = createServer((request, response) => {
    let body = ''
    request.setEncoding('utf8').on('data', (chunk: string) => { body += chunk }).on('end', () => {
      this.requests.push({ path: request.url ?? '', headers: request.headers })
      this.#answer(body, response)
    })
  })

  static async start (owner: Owner): Promise<OtlpReceiver> {
    const receiver = new OtlpReceiver()
    receiver.#server.listen(0, '127.0.0.1')
    await once(receiver.#server, 'listening')
    owner.teardown(() => { receiver.stop() })
    return receiver
  }

  get url (): string { return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}` }

  stop (): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  /** The spans of one trace, once one of them fits. */
  async trace (traceId: string, fits: (span: ReceivedSpan) => boolean = ({ kind }) => kind === SERVER): Promise<ReceivedSpan[]> {
    const found = (): ReceivedSpan[] => this.spans.filter((span) => span.traceId === traceId)
    await eventually(() => found().some(fits), `a span of ${traceId} arrives`, 10_000)
    return found()
  }

  #answer (body: string, response: ServerResponse): void {
    if (this.mood === 'hangs') return
    if (this.mood === 'refuses') {
      response.writeHead(400).end('no')
      return
    }
    this.text += body
    for (const { resource, scopeSpans } of (JSON.parse(body) as Export).resourceSpans) {
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) this.spans.push({ ...span, links: span.links ?? [], attributes: plain(span.attributes), resource: plain(resource.attributes) })
    }
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
  }
}

function plain (pairs: Pairs): Record<string, string | number | boolean> {
  return Object.fromEntries(pairs.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue ?? value.boolValue ?? '']))
}
