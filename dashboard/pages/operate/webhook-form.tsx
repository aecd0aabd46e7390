import type { IssuedWebhook, Webhook } from '../../../schemas/webhooks.js'
import { useApi } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Dialog } from '../../parts/dialog.js'
import { Notice } from '../../parts/notice.js'
import { Panel } from '../../parts/panel.js'
import { TextField } from '../../parts/text-field.js'
import { EMPTY_WEBHOOK_FORM, newWebhook, webhookFormOf, type WebhookForm } from './new-webhook.js'
import { useKeyForm, type KeyForm } from './use-key-form.js'

/** Creates webhooks. */
export function NewWebhookForm ({ onCreate }: { onCreate: (issued: IssuedWebhook) => void }) {
  const api = useApi()
  const { submit, busy, ...fields } = useKeyForm(EMPTY_WEBHOOK_FORM, newWebhook, async (body) => { onCreate(await api.post<IssuedWebhook>('/webhooks', { body })) })
  return (
    <Panel title='Create a webhook'>
      <p class='quiet'>Events are posted there, signed, until they are taken: those that you may read now.</p>
      <form onSubmit={submit} noValidate>
        <Fields of={fields} />
        <p class='actions'><Button type='submit' kind='primary' busy={busy !== undefined}>Create</Button></p>
      </form>
    </Panel>
  )
}

/** Asks where else, or what else, is to be sent. */
export function WebhookEditor ({ webhook, onChange, onClose }: { webhook: Webhook, onChange: (changed: Webhook) => void, onClose: () => void }) {
  const api = useApi()
  const { submit, busy, ...fields } = useKeyForm(webhookFormOf(webhook), newWebhook, async (body) => { onChange(await api.put<Webhook>(`/webhooks/${encodeURIComponent(webhook.id)}`, { body })) })
  return (
    <Dialog title='Change the webhook' onClose={onClose}>
      <form onSubmit={submit} noValidate>
        <Fields of={fields} />
        <p class='actions'>
          <Button type='submit' kind='primary' busy={busy !== undefined}>Change</Button>
          <Button kind='quiet' onClick={onClose}>Cancel</Button>
        </p>
      </form>
    </Dialog>
  )
}

function Fields ({ of: { form, faults, change, error } }: { of: Pick<KeyForm<WebhookForm>, 'form' | 'faults' | 'change' | 'error'> }) {
  return (
    <>
      <TextField label='Address' hint='https, at a host that WEBHOOK_HOSTS names.' value={form.url} onInput={change('url')} error={faults['url']} />
      <div class='columns'>
        <TextField label='Types' hint='Of events, with commas, as in recipe.*,product.deleted. Empty: all.' value={form.types} onInput={change('types')} error={faults['types']} />
        <TextField label='Description' hint='What it is for, in your words.' value={form.description} onInput={change('description')} error={faults['description']} />
      </div>
      {error !== undefined && <Notice kind='error' error={error} />}
    </>
  )
}
