/** Answers but 200 that are for everybody who waits: nothing in them is about the caller. */
const FOR_ALL = new Set([404, 410, 500, 501, 502, 503, 504])

/** The route answered with a fault where an old answer may stand in. */
export class FaultAnsweredError extends Error {
  readonly statusCode: number
  constructor (status: number) {
    super(`The route answered ${status}`)
    this.statusCode = status
  }
}

/** Whoever the answer was made for has left, or had no more time, which may be why there is none. It says nothing of the route. */
export class ForerunnerLeftError extends Error {}

/** The route threw it for a caller with a credential: it may be about them. */
export class FaultOfCallerError extends Error {
  readonly statusCode: number | undefined
  constructor (cause: unknown) {
    super('The route failed for another', { cause })
    this.statusCode = statusOf(cause)
  }
}

/** Whether it is a fault of the service; "there is none" is an answer, which no old one may hide. */
export function isFault (error: unknown): boolean {
  const status = statusOf(error)
  return !(error instanceof ForerunnerLeftError) && !(status !== undefined && status < 500)
}

/** Whether an answer with this status is about nobody. */
export const isStatusForAll = (status: number): boolean => FOR_ALL.has(status)

/** Whether those who wait may be told the error that another's run of the route ended with. */
export function isForAll (error: unknown): boolean {
  return isStatusForAll(statusOf(error) ?? 500) && !(error instanceof FaultAnsweredError) && !(error instanceof FaultOfCallerError)
}

const statusOf = (error: unknown): number | undefined => (error as { statusCode?: number } | null | undefined)?.statusCode
