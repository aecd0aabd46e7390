import type { ComponentChildren } from 'preact'
import type { Product } from '../../../schemas/products.js'
import { useApi, useDo } from '../../context.js'
import { Confirm } from '../../parts/confirm.js'
import { Quoted } from './quoted.js'

/** Asks, and deletes: not while a recipe uses the product, which is said then. */
export function DeleteDialog ({ product: { id, name }, onDone, onClose }: { product: Product, onDone: (what: ComponentChildren) => void, onClose: () => void }) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const remove = async (): Promise<void> => {
    const isDone = await run('delete', async () => {
      await api.delete(`/products/${id}`)
      return true
    })
    if (isDone === true) onDone(<><Quoted name={name} /> was deleted.</>)
  }
  return (
    <Confirm title={`Delete product ${id}?`} confirm='Delete the product' danger busy={busy !== undefined} error={error} onConfirm={() => { void remove() }} onClose={onClose}>
      <p><Quoted name={name} /> goes from the database, and from the cache. This cannot be undone.</p>
    </Confirm>
  )
}
