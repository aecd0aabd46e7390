import type { Problem } from './schema.js'

interface Result<T> { data?: T, error?: unknown, response: Response }

/** What a request was refused for, or failed with. `message` is the problem's `detail`, which says what to do next. */
export class LarderProblem extends Error {
  override name = 'LarderProblem'
  /** As it was answered. Where something between here and the service answered in another form, it is made of the status. */
  readonly problem: Problem
  readonly response: Response

  constructor (problem: Problem, response: Response) {
    super(problem.detail)
    this.problem = problem
    this.response = response
  }

  get status (): number {
    return this.response.status
  }

  /** Seconds after which it may be tried again, where the answer says so. */
  get retryAfter (): number | undefined {
    const text = this.response.headers.get('retry-after')
    return text === null || !/^\d+$/.test(text) ? undefined : Number(text)
  }
}

/**
 * The data of an answer: `const { product } = await ok(larder.GET('/products/{id}', { params: { path: { id: 1 } } }))`.
 * @throws LarderProblem where there is a problem instead
 */
export async function ok<T> (result: Promise<Result<T>>): Promise<T> {
  const { data, error, response } = await result
  if (!response.ok) throw new LarderProblem(isProblem(error) ? error : unnamed(response), response)
  return data as T
}

function isProblem (error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && typeof (error as Problem).detail === 'string' && typeof (error as Problem).type === 'string'
}

function unnamed ({ status, statusText, headers }: Response): Problem {
  const title = statusText === '' ? `Status ${status}` : statusText
  return { type: 'about:blank', title, status, detail: `${title}, without a word from the service.`, instance: headers.get('x-request-id') ?? '' }
}
