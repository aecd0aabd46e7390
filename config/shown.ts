import { type Name, schemas } from './values.js'

export interface EnvironmentSetting {
  name: string
  /** Undefined: not given, and without a default. */
  value: unknown
  isDefault: boolean
  default: unknown
  description: string
}

export function shownSetting (name: Name, value: string | number | boolean | undefined, isGiven: boolean): EnvironmentSetting {
  const schema = schemas[name]
  const shown = !schema.secret || value === undefined ? value : /_(?:URL|ENDPOINT)$/.test(name) ? maskUrl(String(value)) : '***'
  return { name, value: shown, isDefault: !isGiven, default: schema.default, description: schema.description }
}

/** A URL, or a list of them, fit to be shown: without passwords. */
export function maskUrl (url: string): string {
  return url.replace(/(?<=:\/\/[^/?#]*:)[^/?#]*(?=@)/g, '***').replace(/(?<=[?&](?:\w*password|pass)=)[^&#]*/gi, '***')
}
