import { createServer, request as ask, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { pipeline } from 'node:stream'

interface Operation { operationId: string, tags?: string[], responses: Record<string, unknown> }
interface Described { method: string, pattern: RegExp, operation: Operation }

/**
 * Stands between a client and the service, changes nothing, and notes by the document which operations are asked, and what is answered that the document
 * does not say.
 */
export class Recorder {
  readonly #operations: Described[]
  readonly #server: Server
  readonly #target: string
  #asked = new Set<string>()
  #faults: string[] = []

  private constructor (document: { paths: Record<string, Record<string, Operation>> }, target: string) {
    this.#target = target
    this.#operations = Object.entries(document.paths).flatMap(([path, operations]) => Object.entries(operations).map(([method, operation]) =>
      ({ method: method.toUpperCase(), pattern: patternOf(path), operation })))
      // What is written out comes before what a parameter would take as well.
      .sort((a, b) => Number(a.pattern.source.includes('[^/]+')) - Number(b.pattern.source.includes('[^/]+')))
    this.#server = createServer((request, response) => { this.#pass(request, response) })
  }

  static async listen (document: object, target: string): Promise<Recorder> {
    const recorder = new Recorder(document as { paths: Record<string, Record<string, Operation>> }, target)
    recorder.#server.listen(0, '127.0.0.1')
    await once(recorder.#server, 'listening')
    return recorder
  }

  get url (): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What has been asked since the last report, and what has not. */
  report (): { asked: number, missing: { operationId: string, chapter: string }[], chapters: string[], faults: string[] } {
    const chapterOf = ({ tags: [chapter = 'none'] = [] }: Operation) => chapter
    const missing = this.#operations.filter(({ operation }) => !this.#asked.has(operation.operationId))
    const visited = new Set(this.#operations.filter((one) => !missing.includes(one)).map(({ operation }) => chapterOf(operation)))
    const report = {
      asked: this.#asked.size,
      missing: missing.map(({ operation }) => ({ operationId: operation.operationId, chapter: chapterOf(operation) })),
      chapters: [...new Set(missing.map(({ operation }) => chapterOf(operation)))].filter((chapter) => !visited.has(chapter)),
      faults: this.#faults
    }
    this.#asked = new Set()
    this.#faults = []
    return report
  }

  async close (): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }

  #pass (request: IncomingMessage, response: ServerResponse): void {
    const { method = 'GET', url = '/', headers, rawHeaders } = request
    const target = new URL(this.#target)
    const onward = ask({
      host: target.hostname,
      port: target.port,
      method,
      path: url,
      agent: false,
      headers: rawHeaders.flatMap((name, i) => /^(host|connection)$/i.test(i % 2 === 0 ? name : rawHeaders[i - 1]!) ? [] : [name]).concat('host', headers.host ?? target.host)
    }, (answer) => {
      this.#note(method, url, answer.statusCode ?? 0)
      response.writeHead(answer.statusCode ?? 502, answer.rawHeaders.filter((_, i, all) => !/^(connection|keep-alive)$/i.test(all[i - i % 2]!)))
      response.flushHeaders()
      pipeline(answer, response, () => { onward.destroy() })
    })
    onward.on('error', (error) => {
      if (!response.headersSent) this.#faults.push(`${method} ${url}: ${error.message}`)
      response.destroy()
    })
    response.on('close', () => { onward.destroy() })
    request.pipe(onward)
  }

  #note (method: string, url: string, status: number): void {
    const path = url.split('?')[0]!
    const described = this.#operations.find((one) => one.method === method && one.pattern.test(path))
    if (described === undefined) {
      this.#faults.push(`${method} ${url} is no operation of the document.`)
      return
    }
    this.#asked.add(described.operation.operationId)
    if (described.operation.responses[status] === undefined) this.#faults.push(`${described.operation.operationId} answered ${status}, which is not documented.`)
  }
}

/** Trailing slashes do not matter. */
function patternOf (path: string): RegExp {
  return new RegExp(`^${path.replace(/\/+$/, '').replace(/[.*+?^$()|[\]\\]/g, '\\$&').replace(/\{[^}]+\}/g, '[^/]+')}/?$`)
}
