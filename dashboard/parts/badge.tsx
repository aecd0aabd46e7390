import type { ComponentChildren } from 'preact'

export type Tone = 'good' | 'bad' | 'warn' | 'quiet'

/** A state in a word or two: the colour repeats what the word says. */
export function Badge ({ tone, children }: { tone: Tone, children: ComponentChildren }) {
  return <span class={`badge ${tone}`}>{children}</span>
}
