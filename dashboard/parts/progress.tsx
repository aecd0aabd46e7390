import { useId } from 'preact/hooks'

/** How far something is. @param max undefined: nobody knows how much there is */
export function Progress ({ label, value, max, text }: { label: string, value?: number, max?: number, text?: string }) {
  const id = useId()
  return (
    <div class='progress'>
      <label for={id}>{label}</label>
      <progress id={id} {...value !== undefined && max !== undefined && { value, max }} />
      {text !== undefined && <span class='quiet'>{text}</span>}
    </div>
  )
}
