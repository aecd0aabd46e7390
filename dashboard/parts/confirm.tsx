import type { ComponentChildren } from 'preact'
import { Button } from './button.js'
import { Dialog } from './dialog.js'
import { Notice } from './notice.js'

export interface ConfirmProps {
  title: string
  /** What will be so afterwards. */
  children: ComponentChildren
  /** What the button says: the deed, not `OK`. */
  confirm: string
  danger?: boolean
  busy?: boolean
  error?: Error | undefined
  onConfirm: () => void
  onClose: () => void
}

/** Asks before something is done that cannot be undone. */
export function Confirm ({ title, children, confirm, danger = false, busy = false, error, onConfirm, onClose }: ConfirmProps) {
  return (
    <Dialog title={title} onClose={onClose}>
      {children}
      {error !== undefined && <Notice kind='error' error={error} />}
      <p class='actions'>
        <Button kind={danger ? 'danger' : 'primary'} busy={busy} onClick={onConfirm}>{confirm}</Button>
        <Button kind='quiet' onClick={onClose}>Cancel</Button>
      </p>
    </Dialog>
  )
}
