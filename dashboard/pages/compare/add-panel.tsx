import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { ProductReply } from '../../../schemas/products.js'
import { useApi, useDo } from '../../context.js'
import { Panel } from '../../parts/panel.js'
import { EMPTY, newProductOf, type Draft } from './draft.js'
import { ProductForm } from './product-form.js'
import { Quoted } from './quoted.js'

/** @param onChanged loads the list again, and says how it came */
export function AddPanel ({ onChanged }: { onChanged: (why: string) => Promise<string> }) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const [outcome, setOutcome] = useState<ComponentChildren>('')

  const add = async (draft: Draft): Promise<boolean> => {
    setOutcome('')
    const reply = await run('add', async () => await api.post<ProductReply>('/products', { body: newProductOf(draft) }))
    if (reply === undefined) return false
    void onChanged('After an addition').then((said) => { setOutcome(<><Quoted name={reply.product.name} /> was added as product {reply.product.id}. {said}</>) })
    return true
  }
  return (
    <Panel title='Add a product'>
      <ProductForm start={EMPTY} submit='Add the product' busy={busy !== undefined} error={error} onSubmit={add} />
      <p role='status' class='outcome'>{outcome}</p>
    </Panel>
  )
}
