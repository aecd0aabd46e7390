import type { ComponentChildren } from 'preact'
import { useId, useRef } from 'preact/hooks'

export interface Tab {
  id: string
  title: string
}

export interface TabsProps {
  label: string
  tabs: readonly Tab[]
  current: string
  onSelect: (id: string) => void
  /** The panel of the current tab. */
  children: ComponentChildren
}

/** Tabs as the ARIA Authoring Practices have them: arrows, Home and End move, and select as they do. */
export function Tabs ({ label, tabs, current, onSelect, children }: TabsProps) {
  const id = useId()
  const list = useRef<HTMLDivElement>(null)
  const move = (event: KeyboardEvent): void => {
    const place = tabs.findIndex((tab) => tab.id === current)
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key]
    if (next === undefined) return
    event.preventDefault()
    const index = (next + tabs.length) % tabs.length
    onSelect(tabs[index]!.id)
    list.current?.querySelectorAll<HTMLElement>('[role=tab]')[index]?.focus()
  }
  return (
    <>
      <div class='tabs' role='tablist' aria-label={label} ref={list} onKeyDown={move}>
        {tabs.map((tab) => (
          <button
            key={tab.id} type='button' role='tab' id={`${id}-${tab.id}`} aria-selected={tab.id === current} aria-controls={`${id}-panel`}
            tabIndex={tab.id === current ? 0 : -1} onClick={() => { onSelect(tab.id) }}
          >
            {tab.title}
          </button>
        ))}
      </div>
      <div role='tabpanel' id={`${id}-panel`} aria-labelledby={`${id}-${current}`} tabIndex={-1}>{children}</div>
    </>
  )
}
