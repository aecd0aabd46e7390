import { demonstrateAlone } from './support/demonstrate.js'
import { ask, curl, tally, type Address } from './support/requests.js'
import { within, type Demo } from './support/stage.js'

interface Found { key: string, result: { found: boolean, cache_item?: { value: { n: number } } } }

const WRITES = 3000
const WRITERS = 40
const PAGE = 1000

const demo: Demo = {
  name: 'write-behind',
  title: 'what was acknowledged survives kill -9, although the database never had it',

  async run (stage) {
    const postgres = await stage.postgres()
    const larder = await stage.larder('Larder', { DATABASE_URL: postgres.url })

    stage.heading(`PostgreSQL hangs, and ${WRITES} entries are written with write_behind`)
    stage.say('Write-behind answers when a journal on disk has the entry; the database gets it later. Here it cannot: every process of PostgreSQL is stopped.')
    stage.command(`kill -STOP ${postgres.pid} …    # PostgreSQL`)
    postgres.pause()
    const written = (n: number) => ({ key: `order:${n}`, value: { n }, ttl: 3600, strategy: 'write_behind' })
    stage.command(`${curl(larder, 'POST /api/cache/set', { body: written(1) })}    # and ${WRITES - 1} more, ${WRITERS} at a time`)
    const began = performance.now()
    const statuses: number[] = []
    let next = 1
    await Promise.all(Array.from({ length: WRITERS }, async () => {
      while (next <= WRITES) statuses.push((await ask(larder, 'POST /api/cache/set', { body: written(next++) })).status)
    }))
    stage.claim('each of them is acknowledged', statuses.every((status) => status === 200), `${tally(statuses)} in ${((performance.now() - began) / 1000).toFixed(1)} s`)
    const pending = await waiting(larder)
    stage.claim('and waits: none is in PostgreSQL yet', pending === WRITES, `${pending} in the journal`)

    stage.heading('The service is killed')
    stage.command(`kill -KILL ${larder.pid}    # Larder`)
    await larder.kill()
    postgres.resume()
    const restarted = performance.now()
    await larder.restart()
    stage.say(`It is started again, on the same DATA_DIR: it answers after ${((performance.now() - restarted) / 1000).toFixed(1)} s, as pid ${larder.pid}.`)
    let held: number[] = []
    const found = await within(10, async () => {
      held = await numbers(larder)
      return held.length === WRITES
    })
    stage.claim(`all ${WRITES} entries are there`, found !== undefined, `${held.length} of ${WRITES}`)
    stage.claim('with the values that were written', held.every((n, at) => n === at + 1))
    const drained = await within(20, async () => await waiting(larder) === 0)
    stage.claim('and PostgreSQL has them by now: the journal is empty', drained !== undefined, drained === undefined ? `${await waiting(larder)} wait` : `after ${drained.toFixed(1)} s`)

    stage.heading('Once more, so that nothing but PostgreSQL can have them')
    stage.command(`kill -KILL ${larder.pid}    # Larder`)
    await larder.kill()
    await larder.restart()
    held = await numbers(larder)
    stage.claim('still all of them', held.length === WRITES && held.every((n, at) => n === at + 1), `${held.length} of ${WRITES}`)
  }
}

/** Entries that are in the journal alone. */
async function waiting (larder: Address): Promise<number> {
  const { text } = await ask(larder, 'GET /metrics')
  return Number(/^larder_cache_write_behind_queue_entries\S* (\d+)$/m.exec(text)?.[1])
}

/** The numbers in all entries that are there, in the order of their keys. */
async function numbers (larder: Address): Promise<number[]> {
  const found: number[] = []
  for (let from = 1; from <= WRITES; from += PAGE) {
    const keys = Array.from({ length: PAGE }, (_, at) => `order:${from + at}`)
    const { status, body } = await ask<{ results: Found[] }>(larder, 'POST /api/cache/get-batch', { body: keys })
    if (status !== 200) return []
    found.push(...body.results.flatMap(({ result }) => result.cache_item === undefined ? [] : [result.cache_item.value.n]))
  }
  return found
}

export default demo
await demonstrateAlone(import.meta.url, demo)
