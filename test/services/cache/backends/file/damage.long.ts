import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { temporaryFolder } from '../../../../support/temporary-folder.js'
import { Random } from '../../random.js'
import { answered, expected, fill, openCache, type Survey } from './damage.js'

const TRIALS = 30

/** What a process of its own prints, and the signal that ended it. */
async function run (...args: string[]): Promise<{ lines: string[], signal: string | null, errors: string }> {
  const loader = fileURLToPath(new URL('../../../../support/typescript.mjs', import.meta.url))
  const script = fileURLToPath(new URL('damage.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import', loader, script, ...args], { stdio: ['ignore', 'pipe', 'pipe'], timeout: 120_000 })
  let out = ''
  let errors = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => { out += chunk })
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => { errors += chunk })
  const [, signal] = await once(child, 'close') as [number | null, string | null]
  return { lines: out.split('\n').slice(0, -1), signal, errors }
}

/** Opens the folders one after the other in a process of its own. */
async function survey (folders: string[]): Promise<{ surveys: Survey[], signal: string | null, errors: string }> {
  const { lines, ...end } = await run(...folders)
  return { surveys: lines.map((line) => JSON.parse(line) as Survey), ...end }
}

t.test('a byte that was flipped anywhere while the store was closed', async (t) => {
  const base = temporaryFolder(t)
  const origin = join(base, 'origin')
  await fill(origin)
  const random = new Random(process.env['FLIP_SEED'] === undefined ? undefined : Number(process.env['FLIP_SEED']))
  const names = readdirSync(origin, { recursive: true, encoding: 'utf8', withFileTypes: true }).filter((each) => each.isFile()).map(({ parentPath, name }) => join(parentPath, name).slice(origin.length))
  const flips = Array.from({ length: TRIALS }, (_, trial) => {
    const folder = join(base, `trial${trial}`)
    cpSync(origin, folder, { recursive: true })
    const name = trial % 2 === 0 ? random.pick(names.filter((name) => name.endsWith('.ldb'))) : random.pick(names)
    const bytes = readFileSync(join(folder, name))
    const at = random.below(bytes.length)
    if (bytes.length > 0) bytes[at]! ^= 1 << random.below(8)
    writeFileSync(join(folder, name), bytes)
    return { folder, what: `byte ${at} of ${name}` }
  })
  const { surveys, signal, errors } = await survey(flips.map(({ folder }) => folder))
  t.comment(`seed ${random.seed}`)
  t.equal(surveys.length, TRIALS, `each is opened and rewritten by one process, which goes on: ${signal ?? ''} ${flips[surveys.length]?.what} ${errors}`)
  const whats = (of: (survey: Survey) => boolean): string[] => flips.filter((_, at) => of(surveys[at] as Survey)).map(({ what }) => what)
  t.strictSame(whats(({ wrong }) => wrong.length > 0), [], 'nothing old, deleted, invalidated or wrong is served')
  t.strictSame(whats(({ right, again }) => right !== again), [], 'what is there after it is there later')
  t.strictSame(whats(({ right, faults }) => right < expected && faults.length === 0), [], 'what is lost is reported')
  t.strictSame(whats(({ right, damaged }) => right < expected && damaged === 0), [], 'and counted')
  const whole = surveys.filter(({ right }) => right === expected).length
  const empty = surveys.filter(({ right }) => right === 0).length
  t.comment(`${whole} stores lost nothing, ${empty} everything, ${TRIALS - whole - empty} some of ${expected} entries`)
})

t.test('bytes that were flipped while the store was open', async (t) => {
  const base = temporaryFolder(t)
  const origin = join(base, 'origin')
  await fill(origin)
  const random = new Random(process.env['FLIP_SEED'] === undefined ? undefined : Number(process.env['FLIP_SEED']))
  t.comment(`seed ${random.seed}`)
  const folders = Array.from({ length: 4 }, (_, trial) => join(base, `trial${trial}`))
  for (const folder of folders) {
    cpSync(origin, folder, { recursive: true })
    const { lines, signal, errors } = await run('--open', folder, String(random.below(2 ** 32)))
    // LevelDB may abort.
    if (signal === 'SIGABRT') t.comment(errors)
    else t.strictSame(lines, ['[]'], `nothing wrong is served by the process itself ${errors}`)
  }
  const { surveys, signal, errors } = await survey(folders)
  t.equal(surveys.length, folders.length, `none of them ends the next process ${signal ?? ''} ${errors}`)
  t.strictSame(surveys.flatMap(({ wrong }) => wrong), [], 'and nothing old, deleted, invalidated or wrong is served')
  t.comment(`${surveys.map(({ right }) => right).join(', ')} of ${expected} entries are there`)
})

t.test('files that were cut off, emptied or are gone', async (t) => {
  const base = temporaryFolder(t)
  const origin = join(base, 'origin')
  await fill(origin)
  const folders: string[] = []
  for (const name of readdirSync(origin).filter((name) => /ldb|log|MANIFEST|CURRENT/.test(name))) {
    for (const length of [0, 40]) {
      const folder = join(base, `${name}-${length}`)
      cpSync(origin, folder, { recursive: true })
      writeFileSync(join(folder, name), readFileSync(join(folder, name)).subarray(0, -length || 0))
      folders.push(folder)
    }
  }
  const { surveys, errors } = await survey(folders)
  t.equal(surveys.length, folders.length, errors)
  // The end of a log is all that may be missing after the end of a process: what stood there was not answered.
  const isWrong = surveys.filter(({ folder, wrong }) => wrong.length > 0 && !folder.includes('.log-'))
  t.strictSame(isWrong.map(({ folder, wrong }) => [folder.slice(base.length), wrong]), [])
})

t.test('a store that another process was rebuilding when it ended', async (t) => {
  const base = temporaryFolder(t)
  const origin = join(base, 'origin')
  await fill(origin)
  const other = join(base, 'other')
  const { cache } = await openCache(other)
  await cache.close()
  for (const mark of [undefined, 'COMPLETE', 'MOVING']) {
    const folder = join(base, String(mark))
    mkdirSync(join(folder, 'rebuilt'), { recursive: true })
    cpSync(mark === undefined ? other : origin, join(folder, 'rebuilt'), { recursive: true })
    if (mark !== 'MOVING') cpSync(mark === undefined ? origin : other, folder, { recursive: true })
    if (mark !== undefined) writeFileSync(join(folder, 'rebuilt', mark), '')
    const faults: string[] = []
    const opened = await openCache(folder, faults)
    const wrong: string[] = []
    t.strictSame([await answered(opened.cache, wrong), wrong, faults], [expected, [], []], mark ?? 'begun')
    await opened.cache.close()
    t.notOk(readdirSync(folder).includes('rebuilt'))
  }
})
