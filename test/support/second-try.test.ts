import { writeFileSync } from 'node:fs'
import t from 'tap'
import { UNSTEADY, withSecondTry } from './second-try.js'

/** Tries it with runs that end with these codes, the first of which leaves this list of files that failed. */
async function tried (codes: readonly number[], failed: readonly string[]) {
  const runs: (readonly string[])[] = []
  const said: string[] = []
  const code = await withSecondTry(async (args) => {
    const list = args.find((argument) => argument.startsWith('--save='))?.slice('--save='.length)
    if (list !== undefined && failed.length > 0) writeFileSync(list, failed.map((name) => `${name}\n`).join(''))
    runs.push(args)
    return codes[runs.length - 1] ?? 99
  }, ['--timeout=300', 'a.ts', 'b.ts', 'c.ts', 'd.ts'], (line) => { said.push(line) })
  return { code, runs, said }
}

t.test('where nothing fails there is one run, and nothing to say', async (t) => {
  const { code, runs, said } = await tried([0], [])
  t.equal(code, 0)
  t.equal(runs.length, 1)
  t.strictSame(said, [])
})

t.test('what failed is run once more, alone, under the same options; what passes then is named last', async (t) => {
  const { code, runs, said } = await tried([1, 0], ['b.ts', 'd.ts'])
  t.equal(code, 0)
  t.strictSame(runs[1], ['--timeout=300', '--jobs=1', 'b.ts', 'd.ts'])
  t.equal(said.at(-1), `${UNSTEADY} b.ts, d.ts`)
})

t.test('what fails twice has failed', async (t) => {
  const { code, runs, said } = await tried([1, 1], ['b.ts'])
  t.equal(code, 1)
  t.equal(runs.length, 2)
  t.notMatch(said.join('\n'), UNSTEADY)
})

t.test('more than three are no chance: there is no second run', async (t) => {
  const { code, runs, said } = await tried([1, 0], ['a.ts', 'b.ts', 'c.ts', 'd.ts'])
  t.equal(code, 1)
  t.equal(runs.length, 1)
  t.match(said, [/^# 4 files failed/])
})

t.test('neither is there one after a signal, or where tap failed without naming a file', async (t) => {
  t.equal((await tried([130, 0], ['b.ts'])).code, 130)
  t.equal((await tried([1, 0], [])).code, 1)
})
