import type { ComponentChildren } from 'preact'

export interface ButtonProps {
  /** Default: an ordinary one. */
  kind?: 'primary' | 'quiet' | 'danger'
  type?: 'button' | 'submit'
  busy?: boolean
  disabled?: boolean
  onClick?: (event: MouseEvent) => void
  /** The name, where what it shows does not say it. */
  label?: string
  children: ComponentChildren
}

/** A busy button keeps its focus, and does nothing. */
export function Button ({ kind, type = 'button', busy = false, disabled = false, onClick, label, children }: ButtonProps) {
  const click = (event: MouseEvent): void => {
    if (busy) event.preventDefault()
    else onClick?.(event)
  }
  return (
    <button type={type} class={kind} disabled={disabled} aria-busy={busy || undefined} aria-disabled={busy || undefined} aria-label={label} onClick={click}>
      {children}
    </button>
  )
}
