import type { NewWebhook, Webhook } from '../../../schemas/webhooks.js'
import type { Made } from './new-key.js'

/** A form as it is typed. */
export interface WebhookForm { url: string, types: string, description: string }
export const EMPTY_WEBHOOK_FORM: WebhookForm = { url: '', types: '', description: '' }

export const webhookFormOf = ({ url, types, description }: Webhook): WebhookForm => ({ url, types: types ?? '', description })

/** All of it, so that it can take the place of what was there. */
export function newWebhook ({ url, types, description }: WebhookForm): Made<Required<NewWebhook>> {
  const given = url.trim()
  if (!/^https?:\/\/[^/]/i.test(given)) return { faults: { url: 'must be an address that begins with https://' } }
  const patterns = types.split(/[,\n]/).map((type) => type.trim()).filter(Boolean)
  return { body: { url: given, types: patterns.length === 0 ? null : patterns.join(','), description: description.trim() } }
}
