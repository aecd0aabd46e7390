import type { ComponentChildren } from 'preact'
import { ProblemError } from '../problem-error.js'

export interface NoticeProps {
  kind: 'error' | 'warning' | 'success' | 'info'
  /** Said in words: what it is, what to do, and the request's id for whoever looks into the log. */
  error?: Error | undefined
  children?: ComponentChildren
}

/** Something to be read now: errors interrupt a screen reader, everything else waits its turn. */
export function Notice ({ kind, error, children }: NoticeProps) {
  return (
    <div class={`notice ${kind}`} role={kind === 'error' ? 'alert' : 'status'}>
      {error !== undefined && <Words error={error} />}
      {children}
    </div>
  )
}

function Words ({ error }: { error: Error }) {
  if (!(error instanceof ProblemError)) return <p>{error.message}</p>
  const { title, detail, errors, retryAfter, requestId, status } = error
  return (
    <>
      <p><strong>{title}</strong>{status === 0 ? '' : ` (${status})`}</p>
      {detail !== '' && <p>{detail}</p>}
      {errors.length > 0 && <ul>{errors.map(({ path, message }) => <li key={`${path} ${message}`}>{path === '' ? message : <><code>{path}</code> {message}</>}</li>)}</ul>}
      {retryAfter !== undefined && <p>Try again in {retryAfter} s.</p>}
      {requestId !== undefined && <p class='quiet'>Request <code>{requestId}</code></p>}
    </>
  )
}
