// `npm run bench`: what Larder costs against the bare minimum that answers the same bytes, and against lru-cache in process.
// Everything that is compared is measured in this one run, in turns. Options: --only=engine,backends,analytics,duties,responses,get,set,batch,products (any of
// these), --rounds=7, --seconds=1 (of one round), --load=autocannon (instead of wrk).
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { benchAnalytics } from './analytics.mjs'
import { benchBackends } from './backends.mjs'
import { benchDuties } from './duties.mjs'
import { benchEngine } from './engine.mjs'
import { benchHttp, CASES } from './http.mjs'
import { loadGenerator } from './load.mjs'
import { describeMachine } from './machine.mjs'
import { stopAll } from './processes.mjs'
import { benchResponses } from './responses.mjs'

const here = import.meta.dirname
const parts = ['engine', 'backends', 'analytics', 'duties', 'responses', ...Object.keys(CASES)]
const { values } = parseArgs({
  options: {
    only: { type: 'string', default: parts.join(',') },
    rounds: { type: 'string', default: '7' },
    seconds: { type: 'string', default: '1' },
    load: { type: 'string' }
  }
})
const chosen = values.only.split(',')
const unknown = chosen.filter((part) => !parts.includes(part))
if (unknown.length > 0) throw new Error(`--only takes ${parts.join(', ')}, not ${unknown.join(', ')}.`)
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)

execFileSync(process.execPath, [join(here, '..', 'scripts', 'build.mjs')], { stdio: 'inherit' })
if (!existsSync(join(here, 'node_modules', 'lru-cache'))) {
  console.log('Installing the peers (bench/package.json)')
  execFileSync('npm', ['ci', '--prefix', here], { stdio: 'inherit', shell: process.platform === 'win32' })
}

const folder = mkdtempSync(join(tmpdir(), 'larder-bench-'))
const interrupted = (signal) => {
  cleanUp().finally(() => process.exit(signal === 'SIGINT' ? 130 : 143))
}
process.once('SIGINT', interrupted)
process.once('SIGTERM', interrupted)

try {
  const load = loadGenerator(folder, values.load)
  console.log(describeMachine())
  if (chosen.includes('engine')) await benchEngine()
  if (chosen.includes('backends')) await benchBackends({ folder })
  if (chosen.includes('analytics')) await benchAnalytics()
  if (chosen.includes('duties')) await benchDuties({ folder, load, rounds, seconds })
  if (chosen.includes('responses')) await benchResponses({ load, rounds, seconds })
  for (const name of Object.keys(CASES)) {
    if (chosen.includes(name)) await benchHttp(name, { folder, load, rounds, seconds })
  }
} finally {
  await cleanUp()
}

async function cleanUp () {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}
