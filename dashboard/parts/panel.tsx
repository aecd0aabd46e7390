import type { ComponentChildren } from 'preact'
import { useId } from 'preact/hooks'

export interface PanelProps {
  title: string
  /** Beside the title: buttons, choices. */
  actions?: ComponentChildren
  /** Whether its contents are on their way. */
  busy?: boolean
  /** Of the heading; default 2. */
  level?: 2 | 3
  /** Takes the whole width of the page. */
  wide?: boolean
  children: ComponentChildren
}

/** A part of a page under a heading. */
export function Panel ({ title, actions, busy = false, level = 2, wide = false, children }: PanelProps) {
  const id = useId()
  const Heading = level === 2 ? 'h2' : 'h3'
  return (
    <section class={wide ? 'panel wide' : 'panel'} aria-labelledby={id} aria-busy={busy || undefined}>
      <header>
        <Heading id={id}>{title}</Heading>
        {actions !== undefined && <div class='actions'>{actions}</div>}
      </header>
      {children}
    </section>
  )
}
