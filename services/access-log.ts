/** Where lines go: standard output, a file's stream. */
export interface LineSink {
  write (text: string): unknown
}

/** What a line tells about a request and its answer; Fastify's request and reply have it. */
export interface LoggedRequest { id: string, method: string, raw: { url?: string | undefined } }
export interface LoggedReply { statusCode: number, getHeader (name: string): number | string | string[] | undefined }

/** Which trace and span a line belongs to, in hexadecimal digits. */
export interface TraceFields { trace_id: string, span_id: string }

/** Lines wait until there are this many characters of them, or this many milliseconds have passed. */
const BUFFER_LENGTH = 16_384
const FLUSH_AFTER = 250

/** Parameters whose values are credentials. */
const SECRET = /^(?:access_?token|(?:x[_-])?api[_-]?key|auth|authorization|bearer|credentials?|jwt|key_?secret|password|secret|sig|signature|token|valet(?:[_-]?(?:key|token))?|vk)$/i

/** What looks like an API key or a token, wherever in an address it stands. */
const CREDENTIAL = /larder_\w{8,}|eyJ[\w-]{8,}\.[\w.-]+/g

/** Everything that may not stand in a line as it is: quotes, controls (CR, LF, escape sequences), non-ASCII. */
// eslint-disable-next-line no-control-regex -- control characters are exactly what is looked for
const UNSAFE = /["\\\x00-\x1f\x7f-\uffff]/
const UNSAFE_IN_JSON = /[\x7f-\uffff]/g

/** One JSON line per request, put together by concatenation and written in large pieces. */
export class AccessLog {
  readonly #sink: LineSink
  readonly #trace: (() => TraceFields | undefined) | undefined
  #buffer = ''
  #timer: NodeJS.Timeout | undefined

  /** @param trace asked while a line is written; absent where nothing is traced */
  constructor (sink: LineSink, trace?: () => TraceFields | undefined) {
    this.#sink = sink
    this.#trace = trace
  }

  /** @param milliseconds from the request's arrival to the end of its answer */
  write (request: LoggedRequest, reply: LoggedReply, milliseconds: number): void {
    const length = reply.getHeader('content-length')
    // A streamed answer has no length beforehand.
    const bytes = length === undefined ? 'null' : +length
    const trace = this.#trace?.()
    const traced = trace === undefined ? '' : `,"trace_id":"${trace.trace_id}","span_id":"${trace.span_id}"`
    this.#buffer += `{"level":30,"time":${Date.now()},"msg":"request","request_id":"${request.id}","method":"${request.method}","url":${
      quoteUrl(request.raw.url ?? '')},"status":${reply.statusCode},"ms":${Math.round(milliseconds * 1000) / 1000},"bytes":${bytes}${traced}}\n`
    if (this.#buffer.length >= BUFFER_LENGTH) {
      this.flush()
    } else if (this.#timer === undefined) {
      this.#timer = setTimeout(() => this.flush(), FLUSH_AFTER).unref()
    }
  }

  /** Hands over what waits. */
  flush (): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    if (this.#buffer === '') return
    const lines = this.#buffer
    this.#buffer = ''
    this.#sink.write(lines)
  }
}

/** An address as JSON text of one line in ASCII, with the values of secret parameters masked. */
export function quoteUrl (url: string): string {
  const query = url.indexOf('?')
  const named = query === -1 ? url : url.slice(0, query + 1) + url.slice(query + 1).split('&').map(maskSecret).join('&')
  const shown = named.includes('larder_') || named.includes('eyJ') ? named.replace(CREDENTIAL, '***') : named
  if (!UNSAFE.test(shown)) return `"${shown}"`
  return JSON.stringify(shown).replace(UNSAFE_IN_JSON, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`)
}

function maskSecret (parameter: string): string {
  const equals = parameter.indexOf('=')
  if (equals === -1) return parameter
  const name = parameter.slice(0, equals)
  return SECRET.test(decoded(name)) ? `${name}=***` : parameter
}

function decoded (name: string): string {
  try {
    return decodeURIComponent(name)
  } catch {
    return name
  }
}
