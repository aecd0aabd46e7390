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
 * @param more asked when the time is up: for how many milliseconds to wait on; default none
 */
export async function withDeadline<T> (work: Promise<T>, milliseconds: number, more: () => number = () => 0): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    let timer: NodeJS.Timeout
    let ending: NodeJS.Immediate | undefined
    // Timers run before input is read; what is set for "immediately" runs after it.
    const wait = (time: number): void => { timer = setTimeout(() => { ending = setImmediate(end) }, time) }
    const stop = (): void => {
      clearTimeout(timer)
      // It may have come in between; `more` would go on to be asked, and could go on to say yes.
      clearImmediate(ending)
    }
    const end = (): void => {
      const time = more()
      if (time > 0) wait(time)
      else reject(new DeadlineError(milliseconds))
    }
    wait(milliseconds)
    work.then((result) => {
      stop()
      resolve(result)
    }, (error: Error) => {
      stop()
      reject(error)
    })
  })
}
