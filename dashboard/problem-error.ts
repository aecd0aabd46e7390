interface Problem { title?: string, status?: number, detail?: string, code?: string, instance?: string, errors?: { path: string, message: string }[] }

/** What the service answered in place of what was asked for (RFC 9457), or that it cannot be reached: status 0. */
export class ProblemError extends Error {
  override readonly name = 'ProblemError'
  readonly status: number
  readonly title: string
  /** What to do next. */
  readonly detail: string
  readonly code: string | undefined
  readonly errors: readonly { path: string, message: string }[]
  /** Seconds. */
  readonly retryAfter: number | undefined
  readonly requestId: string | undefined

  constructor (status: number, { title = 'The service answers with an error', detail = '', code, instance, errors = [] }: Problem, headers?: Headers) {
    super(detail === '' ? title : detail)
    this.status = status
    this.title = title
    this.detail = detail
    this.code = code
    this.errors = errors
    const after = Number(headers?.get('retry-after') ?? NaN)
    this.retryAfter = Number.isFinite(after) ? after : undefined
    this.requestId = instance ?? headers?.get('x-request-id') ?? undefined
  }

  /** @param cause why there was no answer */
  static unreachable (cause: unknown): ProblemError {
    const error = new ProblemError(0, { title: 'The service cannot be reached', detail: 'Look whether it runs and whether the network is there. This page goes on by itself once it is.' })
    error.cause = cause
    return error
  }

  static async of (response: Response): Promise<ProblemError> {
    const { status, statusText, headers } = response
    if (!/[/+]json/.test(headers.get('content-type') ?? '')) return new ProblemError(status, { title: statusText || `Status ${status}` }, headers)
    return new ProblemError(status, await response.json() as Problem, headers)
  }
}
