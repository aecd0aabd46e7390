import type { Api, RequestOptions } from '../../api.js'
import { ProblemError } from '../../problem-error.js'

export interface UploadOptions {
  query: RequestOptions['query']
  contentType: string
  signal: AbortSignal
  /** @param sent bytes that have left */
  onProgress: (sent: number) => void
}

/** Sends a file as it is. By XMLHttpRequest, since `fetch` tells nothing of how much is sent. */
export async function upload<T> (api: Api, path: string, file: Blob, { query, contentType, signal, onProgress }: UploadOptions): Promise<T> {
  return await new Promise<T>((resolve, reject) => {
    const request = new XMLHttpRequest()
    const abort = (): void => { request.abort() }
    request.open('POST', api.address(path, query))
    for (const [name, value] of Object.entries({ accept: 'application/json', 'content-type': contentType, ...api.authorization() })) request.setRequestHeader(name, value)
    request.upload.addEventListener('progress', ({ loaded }) => { onProgress(loaded) })
    request.addEventListener('load', () => {
      const { status } = request
      const answer = answered(request)
      const after = request.getResponseHeader('retry-after')
      if (status >= 200 && status < 300 && answer !== undefined) resolve(answer as T)
      else reject(new ProblemError(status, answer ?? { title: request.statusText }, new Headers(after === null ? {} : { 'retry-after': after })))
    })
    request.addEventListener('error', () => {
      reject(new ProblemError(0, {
        title: 'The file did not get through',
        detail: 'The service cannot be reached, or turned the file away before all of it was sent (it may be larger than the service takes). Nothing was stored.'
      }))
    })
    request.addEventListener('abort', () => { reject(new DOMException('The upload was cancelled.', 'AbortError')) })
    request.addEventListener('loadend', () => { signal.removeEventListener('abort', abort) })
    signal.addEventListener('abort', abort)
    request.send(file)
  })
}

function answered (request: XMLHttpRequest): Record<string, string> | undefined {
  try {
    return JSON.parse(request.responseText) as Record<string, string>
  } catch {
    // A proxy in between answers in its own form.
    return undefined
  }
}
