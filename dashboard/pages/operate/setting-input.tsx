import { Choice, TextField } from '../../parts/text-field.js'
import { hintOf, kindOf, type SettingSchema } from './setting-value.js'

export interface SettingInputProps {
  schema: SettingSchema
  value: string
  error: string | undefined
  onInput: (text: string) => void
}

/** The control that fits the type of a setting. */
export function SettingInput ({ schema, value, error, onInput }: SettingInputProps) {
  const common = { label: 'New value', value, onInput, error }
  switch (kindOf(schema)) {
    case 'choice': return <Choice {...common} choices={schema.enum!.map((word) => [word, word] as const)} />
    case 'switch': return <Choice {...common} choices={[['true', 'on'], ['false', 'off']]} />
    case 'json': return <TextField {...common} type='lines' hint={hintOf(schema)} />
    default: return <TextField {...common} hint={hintOf(schema)} />
  }
}
