import type { NewApiKey } from '../../../schemas/keys.js'
import type { NewValetKey } from '../../../schemas/valet.js'
import { parseNumber, type Parsed, type SettingSchema } from './setting-value.js'

/** A form as it is typed. */
export interface ValetForm {
  scopes: string[]
  resources: string
  namespaces: string
  ttl: string
  notBefore: string
  maxUses: string
  ip: string
  maxBytes: string
  policy: string
  description: string
}
export const EMPTY_VALET_FORM: ValetForm = {
  scopes: [], resources: '', namespaces: '', ttl: '', notBefore: '', maxUses: '', ip: '', maxBytes: '', policy: '', description: ''
}

export interface ApiKeyForm { name: string, scopes: string[], forbid: string[], namespaces: string, rateLimit: string, ttl: string, expiresAt: string }
export const EMPTY_API_KEY_FORM: ApiKeyForm = { name: '', scopes: [], forbid: [], namespaces: '', rateLimit: '', ttl: '', expiresAt: '' }

/** A body to send, or what is wrong by the name of its field. */
export type Made<T> = { body: T, faults?: undefined } | { body?: undefined, faults: Record<string, string> }

const MAX_VALET_TTL = 3600
const NO_SCOPE = 'needs at least one scope'

/** The parts of a text with commas or line ends between them; undefined when there are none. */
export function listOf (text: string): string[] | undefined {
  const parts = text.split(/[,\n]/).map((part) => part.trim()).filter(Boolean)
  return parts.length === 0 ? undefined : [...new Set(parts)]
}

export function newValetKey (form: ValetForm): Made<NewValetKey> {
  const faults: Record<string, string> = {}
  const take = <T>(field: string, parsed: Parsed<T>): T | undefined => {
    if (parsed.fault !== undefined) faults[field] = parsed.fault
    return parsed.value
  }
  if (form.scopes.length === 0) faults['scopes'] = NO_SCOPE
  const body: NewValetKey = defined({
    scopes: form.scopes,
    resources: listOf(form.resources),
    namespaces: listOf(form.namespaces),
    ttl: take('ttl', optional(form.ttl, { type: 'number', minimum: 1, maximum: MAX_VALET_TTL, unit: 'seconds' })),
    not_before: take('not_before', moment(form.notBefore)),
    max_uses: take('max_uses', optional(form.maxUses, { type: 'integer', minimum: 1, maximum: 2_147_483_647 })),
    ip: listOf(form.ip),
    max_bytes: take('max_bytes', optional(form.maxBytes, { type: 'integer', minimum: 1, unit: 'bytes' })),
    policy: form.policy.trim() || undefined,
    description: form.description.trim() || undefined
  })
  return Object.keys(faults).length > 0 ? { faults } : { body }
}

export function newApiKey (form: ApiKeyForm): Made<NewApiKey> {
  const faults: Record<string, string> = {}
  const take = <T>(field: string, parsed: Parsed<T>): T | undefined => {
    if (parsed.fault !== undefined) faults[field] = parsed.fault
    return parsed.value
  }
  if (form.scopes.length === 0) faults['scopes'] = NO_SCOPE
  if (form.ttl.trim() !== '' && form.expiresAt !== '') faults['expires_at'] = 'stands in place of a time to live: give one of them'
  const body: NewApiKey = defined({
    name: form.name.trim() || undefined,
    scopes: form.scopes,
    forbid: form.forbid.length === 0 ? undefined : form.forbid,
    namespaces: listOf(form.namespaces),
    rate_limit: form.rateLimit.trim() || undefined,
    ttl: take('ttl', optional(form.ttl, { type: 'number', minimum: 0, unit: 'seconds' })),
    expires_at: faults['expires_at'] === undefined ? take('expires_at', moment(form.expiresAt)) : undefined
  })
  return Object.keys(faults).length > 0 ? { faults } : { body }
}

function optional (text: string, schema: SettingSchema): Parsed<number | undefined> {
  if (text.trim() === '') return { value: undefined }
  const parsed = parseNumber(text, schema)
  return parsed.fault === undefined ? { value: parsed.value ?? undefined } : parsed
}

/** A moment as a field of a date and a time gives it, in the zone of whoever types it. */
function moment (text: string): Parsed<string | undefined> {
  if (text === '') return { value: undefined }
  const time = new Date(text)
  return Number.isNaN(time.getTime()) ? { fault: 'must be a date and a time' } : { value: time.toISOString() }
}

/** Without what is undefined. */
function defined<T extends object> (body: T): T {
  return Object.fromEntries(Object.entries(body).filter(([, value]) => value !== undefined)) as T
}

/** The faults that the service found, by the field of the body that they are in. */
export function faultsIn (errors: readonly { path: string, message: string }[]): Record<string, string> {
  return Object.fromEntries(errors.map(({ path, message }) => [/^(?:body\/)?([^/]*)/.exec(path)?.[1] ?? path, message]))
}
