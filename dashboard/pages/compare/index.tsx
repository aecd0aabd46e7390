import { useCallback, useState } from 'preact/hooks'
import { useCaller, useMay } from '../../context.js'
import { duration } from '../../format.js'
import { Notice } from '../../parts/notice.js'
import { AddPanel } from './add-panel.js'
import { LoadsPanel } from './loads-panel.js'
import { PerformancePanel } from './performance-panel.js'
import { ProductsPanel } from './products-panel.js'
import { reachesCache, reachesProduct, reachesProducts } from './reach.js'
import { StatisticsPanel } from './statistics-panel.js'
import { reloaded, useShelf, type Change } from './use-shelf.js'

/** The same product list from the database and from the cache, and what changing a product does to the latter. */
export default function Compare () {
  const may = useMay()
  const caller = useCaller()
  const shelf = useShelf()
  const [runs, setRuns] = useState(0)
  const { load, asked, products, isCut } = shelf
  const mayAsk = may('cache:read') && reachesCache(caller)
  const mayList = reachesProducts(caller)
  const mayAdd = mayList && may('products:write')
  const changed = useCallback(async (why: string): Promise<Change> => {
    const { number, load: again } = await load(why)
    return { number, said: reloaded(again, duration) }
  }, [load])

  return (
    <>
      <h1>Compare</h1>
      <p>The list of products, from PostgreSQL and through the cache in front of it: where each answer comes from, how long it takes, and what a change does to the cached copy.</p>
      <div class='compare'>
        <div>
          {mayList
            ? <LoadsPanel shelf={shelf} />
            : <Notice kind='info'><p>Your credential reaches some products alone, and this page needs the list of all of them. Sign in with one that is not limited to <code>products/…</code>.</p></Notice>}
          {products !== undefined && (
            <ProductsPanel
              products={products} isCut={isCut} mayAdd={mayAdd} asked={asked} onChanged={changed}
              mayEdit={({ id }) => may('products:write') && reachesProduct(caller, id)}
              mayDelete={({ id }) => may('products:delete') && reachesProduct(caller, id)}
            />
          )}
        </div>
        <div>
          {mayAsk && <StatisticsPanel acts={runs + (shelf.loads[0]?.number ?? 0)} mayClear={may('cache:delete')} />}
          {mayAsk && <PerformancePanel onMeasured={() => { setRuns((runs) => runs + 1) }} />}
          {mayAdd && <AddPanel asked={asked} onChanged={changed} />}
        </div>
      </div>
    </>
  )
}
