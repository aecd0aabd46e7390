/** Work did not end in time. It goes on, and what it brings is dropped. */
export class DeadlineError extends Error {
  constructor (milliseconds: number) {
    super(`No answer within ${milliseconds} ms`)
    this.name = 'DeadlineError'
  }
}

/**
 * The result of the work, or a DeadlineError after so many milliseconds. An answer that has already arrived when the time is up is
 * taken: when this process was the slow one, it lies unread in the socket, and is read before the deadline falls.
 */
export async function withDeadline<T> (work: Promise<T>, milliseconds: number): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    // Timers run before input is read; what is set for "immediately" runs after it.
    const timer = setTimeout(() => { setImmediate(() => { reject(new DeadlineError(milliseconds)) }) }, milliseconds)
    work.then((result) => {
      clearTimeout(timer)
      resolve(result)
    }, (error: Error) => {
      clearTimeout(timer)
      reject(error)
    })
  })
}
