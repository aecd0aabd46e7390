import type { ComponentChildren } from 'preact'
import type { Tone } from './badge.js'

/** One figure under its name. */
export function Stat ({ label, value, hint, tone }: { label: string, value: ComponentChildren, hint?: ComponentChildren, tone?: Tone }) {
  return (
    <div class={tone === undefined ? 'stat' : `stat ${tone}`}>
      <dt>{label}</dt>
      <dd>{value}{hint !== undefined && <small>{hint}</small>}</dd>
    </div>
  )
}
