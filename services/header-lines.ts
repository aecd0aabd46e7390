import { ServerResponse, validateHeaderName, validateHeaderValue } from 'node:http'

/** Headers of an answer as `writeHead` takes them, or as Node keeps those that were set one by one: by names in small letters. */
type Headers = Readonly<Record<string, unknown>> | readonly unknown[] | undefined

interface Framed extends ServerResponse {
  _storeHeader (firstLine: string, headers: Headers): void
  headerLines?: HeaderLines
  requestId?: string
  limitLines?: string
  answerLines?: string
}

const node = ServerResponse.prototype as unknown as Partial<Framed>
/** Node's own step behind `writeHead`, which puts the headers under the status line; there in every release so far. */
const storeHeader = node._storeHeader

/**
 * Headers that are text already. Node looks at each header of each answer: whether its name and its value are valid, and what it means
 * for the connection. Of those that are the same for all answers, or are tokens and numbers, that is known, and finding it out again
 * costs more than all the rest that is done for them.
 */
export class HeaderLines {
  readonly #names: readonly string[]
  readonly #lines: readonly string[]
  readonly #text: string

  /**
   * @param constants what every answer has; its own headers of the same name take their place
   * @throws TypeError for what is no header
   */
  constructor (constants: Readonly<Record<string, string>>) {
    const headers = Object.entries(constants)
    for (const [name, value] of headers) {
      validateHeaderName(name)
      validateHeaderValue(name, value)
    }
    this.#names = headers.map(([name]) => name.toLowerCase())
    this.#lines = headers.map(([name, value]) => `${name}: ${value}\r\n`)
    this.#text = this.#lines.join('')
  }

  /**
   * Has them go out with the answer, and its id as `x-request-id`; false when they have to be set one by one: it is no answer over a
   * connection, or there is no such step.
   */
  frame (answer: ServerResponse, requestId: string): boolean {
    if (storeHeader === undefined || Object.getPrototypeOf(answer) !== node) return false
    const framed = answer as Framed
    framed.headerLines = this
    framed.requestId = requestId
    framed.limitLines = ''
    framed.answerLines = ''
    framed._storeHeader = storeFramed
    return true
  }

  /** Those that the answer has no own ones in place of. */
  besides (headers: Headers): string {
    if (headers === undefined) return this.#text
    if (isList(headers)) return this.besides(byName(headers))
    const names = this.#names
    for (let i = 0; i < names.length; i++) if (headers[names[i]!] !== undefined) return this.#besidesOwn(headers)
    return this.#text
  }

  #besidesOwn (headers: Readonly<Record<string, unknown>>): string {
    return this.#lines.filter((_, at) => headers[this.#names[at]!] === undefined).join('')
  }
}

/** Puts what is left to the caller among the lines, in place of what was said before; false when the answer has none. */
export function setLimitLines (answer: ServerResponse, lines: string): boolean {
  const framed = answer as Framed
  if (framed.limitLines === undefined) return false
  framed.limitLines = lines
  return true
}

/**
 * Puts headers of this answer alone among the lines, in place of those that were put there before; false when the answer has none. They
 * are not looked at any more: nothing that anybody sent is to be in them.
 */
export function setAnswerLines (answer: ServerResponse, lines: string): boolean {
  const framed = answer as Framed
  if (framed.answerLines === undefined) return false
  framed.answerLines = lines
  return true
}

function storeFramed (this: Framed, firstLine: string, headers: Headers): void {
  const { headerLines, requestId, limitLines, answerLines } = this
  // A refusal says itself what is left.
  const limits = headers !== undefined && 'ratelimit' in headers ? '' : limitLines!
  storeHeader!.call(this, `${firstLine}x-request-id: ${requestId!}\r\n${headerLines!.besides(headers)}${limits}${answerLines!}`, headers)
}

function isList (headers: Exclude<Headers, undefined>): headers is readonly unknown[] {
  return Array.isArray(headers)
}

/** Names and values in turn, or in pairs. */
function byName (headers: readonly unknown[]): Record<string, unknown> {
  const flat = headers.flat() as string[]
  return Object.fromEntries(flat.flatMap((name, at) => at % 2 === 0 ? [[name.toLowerCase(), flat[at + 1]]] : []))
}
