import { scopeGroups, toggled } from './scope-list.js'

export interface ScopeChoiceProps {
  legend: string
  hint: string
  error?: string | undefined
  /** What may be chosen. */
  permissions: readonly string[]
  chosen: readonly string[]
  onChange: (scopes: string[]) => void
}

/** Scopes to tick, by resource. */
export function ScopeChoice ({ legend, hint, error, permissions, chosen, onChange }: ScopeChoiceProps) {
  return (
    <fieldset class={error === undefined ? 'scopes' : 'scopes invalid'}>
      <legend>{legend}</legend>
      <p class='hint'>{hint}</p>
      {error !== undefined && <p class='fault' role='alert'>{error}</p>}
      <ul>
        {scopeGroups(permissions).map(({ resource, actions }) => (
          <li key={resource}>
            <strong>{resource}</strong>
            {actions.map((action) => {
              const scope = `${resource}:${action}`
              return (
                <label key={action}>
                  <input type='checkbox' aria-label={`${legend}: ${scope}`} checked={chosen.includes(scope)} onChange={() => { onChange(toggled(chosen, scope)) }} /> {action}
                </label>
              )
            })}
          </li>
        ))}
      </ul>
    </fieldset>
  )
}
