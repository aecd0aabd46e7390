import type { ComponentType } from 'preact'
import { useCaller } from '../../context.js'
import { Empty } from '../../parts/empty.js'
import { Tabs } from '../../parts/tabs.js'
import { go, useRoute } from '../../route.js'
import { ApiKeys } from './api-keys.js'
import { AuditLog } from './audit.js'
import { BreakerList } from './breakers.js'
import { Configuration } from './configuration.js'
import { DeadLetters } from './dead-letters.js'
import { LiveEvents } from './events.js'
import { ExplainAccess } from './explain.js'
import { offeredTabs, type TabId } from './offered.js'
import { ValetKeys } from './valet-keys.js'
import { Webhooks } from './webhooks.js'

const TABS: Record<TabId, { title: string, Contents: ComponentType }> = {
  configuration: { title: 'Configuration', Contents: Configuration },
  valet: { title: 'Valet keys', Contents: ValetKeys },
  keys: { title: 'API keys', Contents: ApiKeys },
  audit: { title: 'Audit log', Contents: AuditLog },
  events: { title: 'Live events', Contents: LiveEvents },
  'dead-letters': { title: 'Dead letters', Contents: DeadLetters },
  webhooks: { title: 'Webhooks', Contents: Webhooks },
  breakers: { title: 'Breakers', Contents: BreakerList },
  access: { title: 'Explain access', Contents: ExplainAccess }
}

/** What whoever runs the service sets, hands out and looks after. */
export default function Operate () {
  const { tab } = useRoute()
  const ids = offeredTabs(useCaller())
  const current = ids.find((id) => id === tab) ?? (tab === '' ? ids[0] : undefined)
  const Contents = current === undefined ? undefined : TABS[current].Contents
  return (
    <div class='operate'>
      <h1>Operate</h1>
      <Tabs label='What to operate' tabs={ids.map((id) => ({ id, title: TABS[id].title }))} current={current ?? ''} onSelect={(id) => { go(`operate/${id}`) }}>
        {Contents === undefined
          ? <Empty title='There is no such part here'><p>Or your credential does not reach it: choose one above, or sign in with another one.</p></Empty>
          : <Contents key={current} />}
      </Tabs>
    </div>
  )
}
