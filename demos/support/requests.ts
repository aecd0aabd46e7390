import { shortened, styled } from './paper.js'

/** Something that answers requests: a Larder. */
export interface Address { readonly url: string }

/** A credential, by the name under which it is printed: what is printed is not to be used by others. */
export interface Credential { readonly name: string, readonly token: string }

export interface RequestOptions {
  /** Sent as JSON. */
  body?: unknown
  headers?: Readonly<Record<string, string>>
  as?: Credential
}

export interface Answer<Body = Record<string, unknown>> {
  readonly status: number
  readonly headers: Headers
  readonly body: Body
  readonly text: string
}

/** Milliseconds after which a request is given up: Larder answers long before. */
const PATIENCE = 20_000

/** Sends one request, as in `ask(larder, 'POST /items', { body: { name: 'Ada' } })`. */
export async function ask<Body = Record<string, unknown>> (to: Address, request: string, { body, headers, as }: RequestOptions = {}): Promise<Answer<Body>> {
  const [method, path] = parts(request)
  const init = {
    method,
    headers: { ...body === undefined ? {} : { 'content-type': 'application/json' }, ...as && { authorization: `Bearer ${as.token}` }, ...headers },
    ...body === undefined ? {} : { body: JSON.stringify(body) },
    // Else fetch adds `no-cache` to a request with If-None-Match, which asks Larder to load anew before it answers 304.
    cache: 'force-cache',
    signal: AbortSignal.timeout(PATIENCE)
  }
  const response = await fetch(to.url + path, init)
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.includes('json') === true
  return { status: response.status, headers: response.headers, text, body: (isJson ? JSON.parse(text) : {}) as Body }
}

/** The request as one would type it. */
export function curl (to: Address, request: string, { body, headers = {}, as }: RequestOptions = {}): string {
  const [method, path] = parts(request)
  const all = { ...body === undefined ? {} : { 'content-type': 'application/json' }, ...headers }
  return [
    'curl',
    ...method === 'GET' ? [] : ['-X', method],
    quoted(to.url + path),
    ...Object.entries(all).flatMap(([name, value]) => ['-H', quoted(`${name}: ${value}`)]),
    ...as === undefined ? [] : ['-H', `"authorization: Bearer $${as.name}"`],
    ...body === undefined ? [] : ['-d', quoted(JSON.stringify(body))]
  ].join(' ')
}

/** The answer in short: its status, the headers that matter here, and the beginning of its body. */
export function summed ({ status, headers, text }: Answer<unknown>, see: readonly string[] = []): string {
  const shown = see.flatMap((name) => headers.has(name) ? [`${name}: ${headers.get(name)}`] : [])
  return [styled('bold', `${status}`), ...shown.map((header) => styled('cyan', header)), shortened(text, 160)].join('  ').trimEnd()
}

/** `198 × 200, 2 × 503` */
export function tally (answers: readonly (number | string)[]): string {
  const counts = new Map<number | string, number>()
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1)
  return [...counts].map(([answer, count]) => `${count} × ${answer}`).join(', ')
}

function parts (request: string): [method: string, path: string] {
  const space = request.indexOf(' ')
  return [request.slice(0, space), request.slice(space + 1)]
}

function quoted (text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}
