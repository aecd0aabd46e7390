import { useEffect, useState } from 'preact/hooks'

const THEMES = ['system', 'light', 'dark'] as const
type Theme = typeof THEMES[number]
const KEPT_AS = 'larder.theme'

function keptTheme (): Theme {
  const kept = localStorage.getItem(KEPT_AS)
  return THEMES.find((theme) => theme === kept) ?? 'system'
}

/** Light or dark, or as the system has it. The tokens of `style/base.css` follow `color-scheme`. */
export function ThemeChoice () {
  const [theme, setTheme] = useState(keptTheme)
  useEffect(() => {
    localStorage.setItem(KEPT_AS, theme)
    document.documentElement.dataset['theme'] = theme
    dispatchEvent(new Event('themechange'))
  }, [theme])
  return (
    <label class='theme'>
      <span class='unseen'>Colours</span>
      <select value={theme} onChange={(event) => { setTheme(event.currentTarget.value as Theme) }}>
        <option value='system'>Auto</option>
        <option value='light'>Light</option>
        <option value='dark'>Dark</option>
      </select>
    </label>
  )
}
