import type { ComponentChildren } from 'preact'
import { useEffect, useRef, useState } from 'preact/hooks'
import type { Product } from '../../../schemas/products.js'
import { number } from '../../format.js'
import { Button } from '../../parts/button.js'
import { Empty } from '../../parts/empty.js'
import { Panel } from '../../parts/panel.js'
import { Table, type Column } from '../../parts/table.js'
import { DeleteDialog } from './delete-dialog.js'
import { EditDialog } from './edit-dialog.js'
import type { Change } from './use-shelf.js'

export interface ProductsPanelProps {
  products: readonly Product[]
  isCut: boolean
  mayAdd: boolean
  mayEdit: (product: Product) => boolean
  mayDelete: (product: Product) => boolean
  /** So many times the list was asked for. */
  asked: number
  /** Loads it again, and says how it came. */
  onChanged: (why: string) => Promise<Change>
}

/** Rows that are shown at first, and with each press of the button. */
const STEP = 100
const price = new Intl.NumberFormat(undefined, { minimumFractionDigits: 2, maximumFractionDigits: 2 })

/** The products as they were loaded last, to be changed and deleted. */
export function ProductsPanel ({ products, isCut, mayAdd, mayEdit, mayDelete, asked, onChanged }: ProductsPanelProps) {
  const [deed, setDeed] = useState<{ what: 'edit' | 'delete', product: Product }>()
  const [outcome, setOutcome] = useState<Change & { what: ComponentChildren }>()
  const [shown, setShown] = useState(STEP)
  const status = useRef<HTMLParagraphElement>(null)
  // The button that led to it may be gone with its row.
  useEffect(() => { if (outcome !== undefined) status.current?.focus() }, [outcome])

  const close = (): void => { setDeed(undefined) }
  const done = (why: string, what: ComponentChildren): void => {
    close()
    setOutcome(undefined)
    void onChanged(why).then((change) => { setOutcome({ ...change, what }) })
  }
  const columns: Column<Product>[] = [
    { key: 'id', title: 'Id', align: 'end' },
    { key: 'name', title: 'Name' },
    { key: 'category', title: 'Category' },
    { key: 'price', title: 'Price', align: 'end', render: (product) => price.format(product.price) },
    { key: 'stock_quantity', title: 'Stock', align: 'end', render: ({ stock_quantity: stock, unit }) => `${number(stock)}${unit === null ? '' : ` ${unit}`}` },
    { key: 'description', title: 'Description', render: ({ description }) => description ?? '' }
  ]
  if (products.some((product) => mayEdit(product) || mayDelete(product))) {
    columns.push({
      key: 'deeds',
      title: 'Actions',
      render: (product) => (
        <span class='actions'>
          {mayEdit(product) && <Button label={`Edit ${product.name}`} onClick={() => { setDeed({ what: 'edit', product }) }}>Edit</Button>}
          {mayDelete(product) && <Button kind='danger' label={`Delete ${product.name}`} onClick={() => { setDeed({ what: 'delete', product }) }}>Delete</Button>}
        </span>
      )
    })
  }
  const empty = (
    <Empty title='There are no products.'>
      <p>{mayAdd ? 'Add one with the form on this page' : 'Ask somebody with the scope products:write to add one'}, or start the service on a new database with SAMPLE_DATA=true.</p>
    </Empty>
  )
  return (
    <Panel title={`Products (${number(products.length)})`}>
      <p role='status' class='outcome' tabIndex={-1} ref={status}>{outcome?.number === asked && <>{outcome.what} {outcome.said}</>}</p>
      <div class='products'>
        <Table caption='Products' columns={columns} rows={products.slice(0, shown)} rowKey={({ id }) => String(id)} empty={empty} />
      </div>
      {shown < products.length && <p><Button onClick={() => { setShown(shown + STEP) }}>Show {number(Math.min(STEP, products.length - shown))} more</Button></p>}
      {isCut && <p class='quiet'>There are more: a list answers as many as these, and the next ones to <code>GET /products?cursor=</code>.</p>}
      {deed?.what === 'edit' && <EditDialog product={deed.product} onDone={(what) => { done('After a change', what) }} onClose={close} />}
      {deed?.what === 'delete' && <DeleteDialog product={deed.product} onDone={(what) => { done('After a deletion', what) }} onClose={close} />}
    </Panel>
  )
}
