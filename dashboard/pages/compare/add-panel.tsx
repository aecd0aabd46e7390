import { useState } from 'preact/hooks'
import type { Product, ProductReply } from '../../../schemas/products.js'
import { useApi, useDo } from '../../context.js'
import { Panel } from '../../parts/panel.js'
import { EMPTY, newProductOf, type Draft } from './draft.js'
import { ProductForm } from './product-form.js'
import { Quoted } from './quoted.js'
import type { Change } from './use-shelf.js'

/** @param asked so many times the list was asked for; @param onChanged loads it again, and says how it came */
export function AddPanel ({ asked, onChanged }: { asked: number, onChanged: (why: string) => Promise<Change> }) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const [outcome, setOutcome] = useState<Change & Pick<Product, 'id' | 'name'>>()

  const add = async (draft: Draft): Promise<boolean> => {
    setOutcome(undefined)
    const reply = await run('add', async () => await api.post<ProductReply>('/products', { body: newProductOf(draft) }))
    if (reply === undefined) return false
    const { id, name } = reply.product
    void onChanged('After an addition').then((change) => { setOutcome({ ...change, id, name }) })
    return true
  }
  return (
    <Panel title='Add a product'>
      <ProductForm start={EMPTY} submit='Add the product' busy={busy !== undefined} error={error} onSubmit={add} />
      <p role='status' class='outcome'>{outcome?.number === asked && <><Quoted name={outcome.name} /> was added as product {outcome.id}. {outcome.said}</>}</p>
    </Panel>
  )
}
