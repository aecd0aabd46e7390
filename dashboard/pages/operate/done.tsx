import { useEffect, useRef } from 'preact/hooks'
import { Notice } from '../../parts/notice.js'

/** What was done. It takes the focus, since the button that did it is often gone with what it stood by. */
export function Done ({ said, more }: { said: string | undefined, more?: string }) {
  const place = useRef<HTMLDivElement>(null)
  useEffect(() => { if (said !== undefined) place.current?.focus() }, [said])
  if (said === undefined) return null
  return <div ref={place} tabIndex={-1} class='done'><Notice kind='success'><p>{said}{more === undefined ? '' : ` ${more}`}</p></Notice></div>
}
