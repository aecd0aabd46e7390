import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef } from 'preact/hooks'

/** A modal dialog: the focus goes into it and back to where it was, Escape closes it. */
export function Dialog ({ title, onClose, children, wide = false }: { title: string, onClose: () => void, children: ComponentChildren, wide?: boolean }) {
  const dialog = useRef<HTMLDialogElement>(null)
  const id = useId()
  // As soon as it is there: what has the focus now is what gets it back.
  useLayoutEffect(() => {
    const before = document.activeElement
    const { current } = dialog
    current?.showModal()
    return () => {
      current?.close()
      if (before instanceof HTMLElement && before.isConnected) before.focus()
    }
  }, [])
  const cancel = (event: Event): void => {
    // A file that is not chosen after all is told of in the same words.
    if (event.target !== dialog.current) return
    event.preventDefault()
    onClose()
  }
  // Some browsers close it without asking, as when Escape is pressed twice: it stays until whoever opened it takes it away.
  const reopen = (event: Event): void => {
    const { current } = dialog
    if (event.target !== current || current === null || !current.isConnected || current.open) return
    current.showModal()
    onClose()
  }
  return (
    <dialog ref={dialog} class={wide ? 'wide' : undefined} aria-labelledby={id} onCancel={cancel} onClose={reopen}>
      <h2 id={id}>{title}</h2>
      {children}
    </dialog>
  )
}
