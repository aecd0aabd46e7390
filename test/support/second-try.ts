/**
 * What failed is run once more, alone, after all the others. The long tests meet real servers, browsers and clocks, on a machine
 * of somebody else's that may stand still for seconds: one that fails there once in a hundred runs would make every second run of
 * all of them red, and a red run that says nothing teaches people to look away. A fault of the product fails twice; one that
 * strikes many files at once is no chance either, so that only a few get the second try. Nothing is hidden: who needed it is named
 * in the last line, and has to be made steady.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** More than these are no chance. */
const MOST = 3

/** What the last line begins with; `.ci/run` looks for it. */
export const UNSTEADY = '# passed only the second time:'

/**
 * Runs tap by `run` with these arguments, and again with the files that failed, one at a time, where they are few.
 * @returns tap's exit code: of the second run, if there was one
 */
export async function withSecondTry (run: (args: readonly string[]) => Promise<number>, args: readonly string[], say: (line: string) => void): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'second-try-'))
  try {
    const list = join(folder, 'failed')
    const code = await run([...args, `--save=${list}`])
    const failed = existsSync(list) ? readFileSync(list, 'utf8').split('\n').filter((line) => line !== '') : []
    // Past 128 a signal has ended it: nobody wants a second run then.
    if (code === 0 || code > 128 || failed.length === 0) return code
    if (failed.length > MOST) {
      say(`# ${failed.length} files failed: too many to be chance, so that none of them gets a second try`)
      return code
    }
    say(`# once more, alone: ${failed.join(', ')}`)
    const second = await run([...args.filter((argument) => argument.startsWith('-')), '--jobs=1', ...failed])
    say(second === 0 ? `${UNSTEADY} ${failed.join(', ')}` : '# failed the second time as well')
    return second
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
