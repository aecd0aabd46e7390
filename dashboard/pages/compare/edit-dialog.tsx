import type { ComponentChildren } from 'preact'
import { useState } from 'preact/hooks'
import type { Product, ProductReply } from '../../../schemas/products.js'
import { useApi, useDo } from '../../context.js'
import { Button } from '../../parts/button.js'
import { Dialog } from '../../parts/dialog.js'
import { Notice } from '../../parts/notice.js'
import { changesOf, draftOf, type Draft } from './draft.js'
import { ProductForm } from './product-form.js'
import { Quoted } from './quoted.js'

/** Sets those fields of a product that are changed in it; the others stay as somebody else may have set them since. */
export function EditDialog ({ product, onDone, onClose }: { product: Product, onDone: (what: ComponentChildren) => void, onClose: () => void }) {
  const api = useApi()
  const { run, busy, error } = useDo()
  const [isSame, setSame] = useState(false)

  const save = async (draft: Draft): Promise<boolean> => {
    const changes = changesOf(draft, product)
    const isNothing = Object.keys(changes).length === 0
    setSame(isNothing)
    if (isNothing) return false
    const reply = await run('save', async () => await api.put<ProductReply>(`/products/${product.id}`, { body: changes }))
    if (reply !== undefined) onDone(<><Quoted name={reply.product.name} /> was saved.</>)
    return false
  }
  return (
    <Dialog title={`Edit product ${product.id}`} onClose={onClose}>
      <ProductForm start={draftOf(product)} submit='Save' busy={busy !== undefined} error={error} onSubmit={save}>
        <Button kind='quiet' onClick={onClose}>Cancel</Button>
      </ProductForm>
      {isSame && <Notice kind='info'><p>Nothing is changed yet.</p></Notice>}
    </Dialog>
  )
}
