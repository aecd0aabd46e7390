import { STATUS_CODES, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import fp from 'fastify-plugin'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest, onRequestHookHandler, preHandlerHookHandler } from 'fastify'
import { PROBLEM_BY_STATUS, PROBLEMS, type ProblemSlug } from '../schemas/problems.js'
import type { Problem, ValidationIssue } from '../schemas/common.js'
import { setAnswerLines } from '../services/header-lines.js'
import type {} from './rate-limit.js'
import { requestId } from './requests.js'
import { isAnswered, leaveUnread } from './unread-body.js'

/** What an error may carry beyond Fastify's own members. */
export interface ReportedError extends Partial<FastifyError> {
  /** Seconds after which a retry makes sense; becomes `Retry-After`. Default 1 for 429 and 503. */
  retryAfter?: number
  /** Headers that the answer needs, `www-authenticate` for instance. */
  headers?: Record<string, string>
  /** Whoever threw it has told the log, where that is needed: of a 5xx the log would tell each time otherwise. */
  isTold?: boolean
  /** Members of the problem beyond the common ones. */
  members?: Record<string, unknown>
  /** The one field that is at fault, and what is wrong with it: see `invalidField`. */
  field?: string
  fault?: string
}

const CONTENT_TYPE = 'application/problem+json; charset=utf-8'

/** At most this many faults are listed, and at most this much of a name that the caller made up is repeated. */
const MAX_ISSUES = 20
const MAX_NAME = 100

/**
 * Bytes of a body that is too large that are still read, and thrown away: who is cut off while sending sees a broken connection
 * in place of the answer. Past this, and where the length is not said, the connection is closed.
 */
const MAX_DISCARDED = 64 * 1024 * 1024

/** Who is turned away before the body is looked at does not get it read. */
const TURNED_AWAY = new Set([401, 403, 429])

/** Fastify's own errors whose kind is not simply that of their status. */
const FRAMEWORK_KINDS: Record<string, ProblemSlug> = {
  FST_ERR_BAD_URL: 'malformed-request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'malformed-request',
  FST_ERR_CTP_INVALID_JSON_BODY: 'malformed-body',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'malformed-body'
}

/** What to do, where the framework's own message does not say. */
const FRAMEWORK_DETAILS: Record<string, string> = {
  FST_ERR_BAD_URL: 'The path holds a percent sign that begins no valid escape of UTF-8: write %25 for the sign itself.',
  FST_ERR_CTP_INVALID_JSON_BODY: 'The body is not valid JSON, or names a field __proto__ or constructor.prototype: correct it.',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'The body is not as long as Content-Length says: send the right length.',
  FST_ERR_MAX_PARAM_LENGTH: 'A part of the path is too long: shorten it, or say it in a body.'
}

/** What Node's HTTP parser and timers report, before there is a request. */
const CLIENT_FAULTS: Record<string, [slug: ProblemSlug, detail: string]> = {
  HPE_HEADER_OVERFLOW: ['header-fields-too-large', 'The address and headers together are too large: send fewer or shorter ones.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['request-timeout', 'The request did not arrive in time: send it again, faster.'],
  ERR_TUNNEL: ['malformed-request', 'CONNECT asks a proxy for a tunnel, and this is none: use GET, POST, PUT or DELETE.'],
  HPE_INVALID_METHOD: ['malformed-request', 'The method is not one of HTTP: use GET, POST, PUT or DELETE.']
}

/** Turns every error into an RFC 9457 problem, and what no route takes into 404 or 405. */
export default fp(async function errors (app) {
  app.setErrorHandler(sendProblem)
  // Answered behind the last hook that comes before the body: what the body is matters to nobody where nothing takes it. Fastify
  // runs what it finds here of any hook, though its types name two. A route that says that there is nothing comes to the handler alone.
  const unrouted: { onRequest: onRequestHookHandler, preHandler?: preHandlerHookHandler } = {
    onRequest: (request, reply) => {
      leaveUnread(request, reply)
      answerUnrouted(app, request, reply)
    }
  }
  app.setNotFoundHandler(unrouted, (request, reply) => { answerUnrouted(app, request, reply) })
  // Unheard, Node closes the connection without a word.
  app.server.on('connect', (_request: IncomingMessage, socket: Socket) => {
    socket.on('error', () => { socket.destroy() })
    clientErrorHandler.call(app, Object.assign(new Error('CONNECT'), { code: 'ERR_TUNNEL' }), socket)
  })
  // Node answers an expectation that it does not know by itself, with nothing but the status.
  app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
    const id = requestId(request)
    const [status, , advice] = PROBLEMS['expectation-failed']
    const body = JSON.stringify(problem(id, status, 'expectation-failed', advice))
    response.writeHead(status, {
      ...app.constantHeaders,
      'content-type': CONTENT_TYPE,
      'content-length': Buffer.byteLength(body),
      'x-request-id': id,
      'cache-control': 'no-store',
      connection: 'close'
    }).end(body)
  })
}, { name: 'errors', fastify: '5.x', dependencies: ['requests'] })

/** What no route takes: 405 where the path takes other methods, else 404. */
function answerUnrouted (app: FastifyInstance, request: FastifyRequest, reply: FastifyReply): void {
  app.observeUnrouted?.(request, reply)
  limited(request, reply, undefined, () => {
    const allowed = allowedMethods(app, request)
    if (allowed.length === 0) {
      send(request, reply, 404, 'not-found', 'There is nothing at this path: /docs lists what there is.')
      return
    }
    reply.header('allow', allowed.join(', '))
    send(request, reply, 405, 'method-not-allowed', `This path does not take ${request.method}: use ${allowed.join(' or ')}.`)
  })
}

/** Fastify's `frameworkErrors` option: addresses that cannot be decoded or matched. */
export function frameworkErrors (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(request.server.constantHeaders).header('x-request-id', request.id)
  request.server.observeUnrouted?.(request, reply)
  limited(request, reply, error, () => { sendProblem(error, request, reply) })
}

/** Answers what went wrong before a route was asked, or that there was too much of it. */
function limited (request: FastifyRequest, reply: FastifyReply, fault: Error | undefined, answer: () => void): void {
  const { limitFault } = request.server
  if (limitFault === undefined) return answer()
  limitFault(request, reply, fault, (error) => {
    if (error === undefined || error === fault) answer()
    else sendProblem(error, request, reply)
  })
}

/** Fastify's `clientErrorHandler` option: what is not HTTP, too large, or too slow. There is no request yet, only a socket. */
export function clientErrorHandler (this: FastifyInstance, error: Error & { code?: string }, socket: Socket): void {
  // Node says so once, and leaves the connection to us.
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && this.uploads.has(socket)) return
  // An answer that is already on its way must not be followed by another; Node keeps the one in progress there.
  const current = (socket as Socket & { _httpMessage?: ServerResponse | null })._httpMessage
  if (error.code === 'ECONNRESET' || !socket.writable || current?.headersSent === true || isAnswered(socket)) {
    socket.destroy()
    return
  }
  // More of the same may arrive while it is being counted.
  if (unread.has(socket)) return
  unread.add(socket)
  const answer = (limits: Record<string, string> = {}, refusal?: ReportedError): void => {
    unread.delete(socket)
    if (socket.writable) answerUnread(this, socket, error, limits, refusal)
  }
  if (this.limitSource === undefined) answer()
  else this.limitSource(socket.remoteAddress, answer)
}

/** Connections on which something came that is no request, and that are not answered yet. */
const unread = new WeakSet<Socket>()

function answerUnread (app: FastifyInstance, socket: Socket, { code = '' }: { code?: string }, limits: Record<string, string>, refusal?: ReportedError): void {
  const [slug, detail] = refusal !== undefined
    ? ['too-many-requests' as const, String((refusal as Error).message)]
    : CLIENT_FAULTS[code] ?? ['malformed-request' as const, 'The request cannot be read as HTTP/1.1: check the request line, the headers and the framing of the body.']
  const status = PROBLEMS[slug][0]
  const id = requestId()
  app.metrics.observeRequest(app.metrics.unrouted, status, 0)
  app.log.debug({ request_id: id, code, status }, 'request refused before it could be read')
  const body = JSON.stringify({ ...problem(id, status, slug, detail), ...refusal?.members })
  const headers = {
    'content-type': CONTENT_TYPE,
    'content-length': Buffer.byteLength(body),
    ...app.constantHeaders,
    ...limits,
    ...(refusal?.retryAfter !== undefined && { 'retry-after': refusal.retryAfter }),
    'x-request-id': id,
    'cache-control': 'no-store',
    connection: 'close'
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n${body}`)
}

function sendProblem (error: unknown, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const fault: ReportedError = typeof error === 'object' && error !== null ? error : {}
  const status = statusOf(fault)
  const slug = slugOf(fault, status)
  if (isOutage(fault, status)) {
    const { message, cause } = error as Error
    request.log.warn({ code: fault.code, reason: message, ...cause instanceof Error && { cause: cause.message }, request_id: request.id }, 'request failed: what it needs is away or full')
  } else if (status >= 500 && fault.isTold !== true) {
    request.log.error({ err: error, request_id: request.id }, 'request failed')
  } else {
    request.log.debug({ err: error, request_id: request.id }, 'request refused')
  }
  if (fault.headers !== undefined) reply.headers(fault.headers)
  if (fault.code === 'FST_ERR_CTP_BODY_TOO_LARGE' && Number(request.headers['content-length']) <= MAX_DISCARDED) reply.removeHeader('connection')
  if (fault.retryAfter !== undefined || status === 503 || status === 429) {
    reply.header('retry-after', String(Math.max(1, Math.ceil(fault.retryAfter ?? 1))))
  }
  if (TURNED_AWAY.has(status)) leaveUnread(request, reply)
  const issues = fault.validation === undefined ? undefined : issuesOf(fault)
  return send(request, reply, status, slug, detailOf(fault, status, slug, issues, request.routeOptions.bodyLimit), issues ?? fieldOf(fault, request), fault.members)
}

/** Only a number that an error answer can have counts; a bug has none. */
function statusOf ({ statusCode, validation }: ReportedError): number {
  if (validation !== undefined) return 400
  return Number.isInteger(statusCode) && statusCode! >= 400 && statusCode! <= 599 ? statusCode! : 500
}

function slugOf (fault: ReportedError, status: number): string {
  if (fault.validation !== undefined) return 'invalid-request'
  if (isOurs(fault)) return fault.code.slice('ERR_'.length).toLowerCase().replaceAll('_', '-')
  return FRAMEWORK_KINDS[fault.code ?? ''] ?? PROBLEM_BY_STATUS[status as keyof typeof PROBLEM_BY_STATUS] ??
    (status >= 500 ? 'internal-error' : 'invalid-request')
}

/** That a part is away, or full, is no bug and lasts: the stack of each request that it costs tells no more than its words. */
function isOutage (fault: ReportedError, status: number): fault is ReportedError & { code: string } {
  return (status === 503 || status === 507) && isOurs(fault) && fault.isTold !== true
}

/** Our own error classes have a code ERR_… and a status; Node's codes begin the same way but come without a status. */
function isOurs (fault: ReportedError): fault is ReportedError & { code: string } {
  return fault.code !== undefined && /^ERR_[A-Z0-9_]+$/.test(fault.code) && fault.statusCode !== undefined
}

function detailOf (fault: ReportedError, status: number, slug: string, issues: ValidationIssue[] | undefined, bodyLimit: number): string {
  if (issues?.[0] !== undefined) return `${issues[0].path} ${issues[0].message}. Correct it and send the request again.`
  if (isOurs(fault) && fault.message) return status >= 500 ? withoutAddresses(fault.message) : fault.message
  if (status >= 500) return PROBLEMS[slug as ProblemSlug]?.[2] ?? PROBLEMS['internal-error'][2]
  if (fault.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return `The body is larger than the ${bodyLimit} bytes that this operation takes: send less in one request.`
  return FRAMEWORK_DETAILS[fault.code ?? ''] ?? PROBLEMS[slug as ProblemSlug]?.[2] ?? PROBLEMS['invalid-request'][2]
}

/** A message about a part that is down may quote its driver: addresses, and the passwords in them, stay in the log. */
function withoutAddresses (message: string): string {
  return message.replace(/\b[a-z][a-z0-9+.-]{0,20}:\/\/\S+/gi, '(address withheld)')
}

/** Ajv's errors in the caller's terms, each naming its field. */
function issuesOf ({ validation = [], validationContext }: ReportedError): ValidationIssue[] {
  const part = validationContext === 'querystring' ? 'query' : validationContext ?? 'request'
  return validation.slice(0, MAX_ISSUES).map(({ keyword, instancePath, params, message }) => {
    const path = part + instancePath.slice(0, MAX_NAME)
    if (keyword === 'additionalProperties') {
      return { path: `${path}/${String(params.additionalProperty).slice(0, MAX_NAME)}`, message: 'is not known here' }
    }
    if (keyword === 'enum' && Array.isArray(params.allowedValues)) {
      return { path, message: `must be one of ${params.allowedValues.join(', ')}` }
    }
    return { path, message: message ?? 'is not valid' }
  })
}

/** A fault that a service found in one field: the service does not know in which part of the request it came. */
function fieldOf ({ field, fault }: ReportedError, { params, query }: FastifyRequest): ValidationIssue[] | undefined {
  if (field === undefined || fault === undefined) return undefined
  const has = (part: unknown): boolean => typeof part === 'object' && part !== null && Object.hasOwn(part, field)
  const part = has(params) ? 'params' : has(query) ? 'query' : 'body'
  return [{ path: `${part}/${field.replaceAll('.', '/')}`, message: fault }]
}

function send (
  request: FastifyRequest, reply: FastifyReply, status: number, slug: string, detail: string, errors?: ValidationIssue[], members?: Record<string, unknown>
): FastifyReply {
  // The failed operation may have described the answer that it meant to give.
  setAnswerLines(reply.raw, '')
  for (const name of ['etag', 'last-modified', 'age', 'cache-status', 'content-encoding', 'content-disposition']) reply.removeHeader(name)
  return reply.code(status).header('content-type', CONTENT_TYPE).header('cache-control', 'no-store')
    .send(JSON.stringify({ ...problem(request.id, status, slug, detail, errors), ...members }))
}

function problem (instance: string, status: number, slug: string, detail: string, errors?: ValidationIssue[]): Problem {
  const title = PROBLEMS[slug as ProblemSlug]?.[1] ?? slug.charAt(0).toUpperCase() + slug.slice(1).replaceAll('-', ' ')
  return { type: `/problems/${slug}`, title, status, detail, instance, ...(errors === undefined ? {} : { errors }) }
}

/** The methods that the request's path does take, whatever the routes are; empty when it takes none. */
function allowedMethods (app: FastifyInstance, request: FastifyRequest): string[] {
  const [url = '/'] = request.url.split('?', 1)
  // A route may itself have said that there is nothing here.
  if (takes(app, request.method, url)) return []
  // The CORS preflight's route stands on every path, and so says nothing about this one.
  return app.supportedMethods.filter((method) => method !== 'OPTIONS' && takes(app, method, url))
}

/** The router is asked as for a request: despite its type, `findRoute` matches addresses, parameters included. */
function takes (app: FastifyInstance, method: string, url: string): boolean {
  return app.findRoute({ method, url }) !== null
}
