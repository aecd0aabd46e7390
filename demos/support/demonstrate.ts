import { realpathSync } from 'node:fs'
import { setTimeout as delay } from 'node:timers/promises'
import { constants } from 'node:os'
import { pathToFileURL } from 'node:url'
import { installCommand, ServersMissingError } from '../../tools/servers/locate.js'
import { print, styled, table, wrapped } from './paper.js'
import { Stage, type Demo } from './stage.js'

export interface DemonstrateOptions {
  /** Keeps what the last demonstration started. Default false. */
  keep?: boolean
}

/** Milliseconds that one demonstration may take: what hangs is a claim that does not hold. */
const LIMIT = 90_000

/** Gives demonstrations one after the other, and a table of all at the end. Answers the exit code: 0 when every claim holds. */
export async function demonstrate (demos: readonly Demo[], { keep = false }: DemonstrateOptions = {}): Promise<number> {
  let stage = new Stage()
  const state = { isInterrupted: false }
  const interrupt = (code: number): void => {
    // However often it is said: what was started is ended first.
    if (state.isInterrupted) return
    state.isInterrupted = true
    void stage.clear().finally(() => process.exit(code))
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!state.isInterrupted) print(`\n${signal}: ending what was started`)
      interrupt(128 + constants.signals[signal])
    })
  }
  // As with `npm run demos | head`: nobody reads any more.
  process.stdout.on('error', () => { interrupt(128 + constants.signals.SIGPIPE) })

  const rows: string[][] = []
  const total = { held: 0, claims: 0, seconds: 0 }
  for (const [at, demo] of demos.entries()) {
    const isKept = keep && at === demos.length - 1
    stage = new Stage()
    const began = performance.now()
    print(`\n${styled('bold', `── ${at + 1}/${demos.length} ${demo.name}: ${demo.title} ──`)}`)
    const fault = await timed(demo.run(stage)).catch(words)
    // The process ends as soon as all is ended that was started.
    if (state.isInterrupted) await new Promise(() => {})
    if (fault !== undefined) stage.claim(`${demo.name} comes to its end`, false, fault)
    else if (stage.held + stage.failed === 0) stage.claim(`${demo.name} claims something`, false)
    if (!isKept) await stage.clear()
    const [claims, seconds] = [stage.held + stage.failed, (performance.now() - began) / 1000]
    rows.push([demo.name, `${stage.held} of ${claims}`, seconds.toFixed(1)])
    total.held += stage.held
    total.claims += claims
    total.seconds += seconds
  }

  print(`\n${table([['demonstration', 'claims held', 'seconds'], ...rows, ['all', `${total.held} of ${total.claims}`, total.seconds.toFixed(1)]])}\n`)
  const isGood = total.held === total.claims
  print(isGood ? styled('green', 'Every claim holds.') : styled('red', `${total.claims - total.held} of ${total.claims} claims do not hold: see ✗ above.`))
  if (keep) stage.release()
  return isGood ? 0 : 1
}

/** At the end of a demonstration's file: gives it when that file is what Node was started with. */
export async function demonstrateAlone (url: string, demo: Demo): Promise<void> {
  const [, main, ...options] = process.argv
  if (main !== undefined && pathToFileURL(realpathSync(main)).href === url) process.exit(await demonstrate([demo], { keep: options.includes('--no-teardown') }))
}

async function timed (demo: Promise<void>): Promise<undefined> {
  const stop = new AbortController()
  const limit = delay(LIMIT, undefined, { signal: stop.signal }).then(() => { throw new Error(`it is not through after ${LIMIT / 1000} s`) })
  try {
    await Promise.race([demo, limit])
    return undefined
  } finally {
    stop.abort()
    // The one that lost has nobody who listens any more.
    limit.catch(() => {})
    demo.catch(() => {})
  }
}

function words (error: unknown): string {
  if (!(error instanceof ServersMissingError)) return error instanceof Error ? `${error.message}${error.cause instanceof Error ? `: ${error.cause.message}` : ''}` : String(error)
  const names = error.missing.map((name) => name === 'postgres' ? 'PostgreSQL' : 'Redis')
  return [
    `${names.join(' and ')} cannot be found here. On Debian or Ubuntu:`, '', `    ${installCommand(error.missing)}`, '',
    wrapped('Elsewhere install it so that it is on PATH, or start a Docker engine. A demonstration stops and kills its servers, so it takes none that is running already; ' +
      'the service itself does: set DATABASE_URL and REDIS_URL for `npm start`.', '    ')
  ].join('\n')
}
