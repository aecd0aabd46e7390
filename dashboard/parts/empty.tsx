import type { ComponentChildren } from 'preact'

/** Where there is nothing yet: says so, and what to do for there to be something. */
export function Empty ({ title, children }: { title: string, children?: ComponentChildren }) {
  return (
    <div class='empty'>
      <p><strong>{title}</strong></p>
      {children}
    </div>
  )
}
