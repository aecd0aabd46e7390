// tap's command line, whose test files load less. It begins each of them with three loaders of its own: TypeScript, which typescript.mjs
// is quicker at, mocks, and a record of what was loaded, for its coverage. They take a second of processor time a file, and 130 MB.
// A file that mocks modules keeps them. For coverage use tap itself.
import { readFileSync } from 'node:fs'
import { t } from 'tap'

const spawn = t.spawn.bind(t)
t.spawn = (command, args, ...rest) => {
  const isMocking = args.some((argument) => argument.endsWith('.ts') && !argument.startsWith('-') && readFileSync(argument, 'utf8').includes('t.mockImport'))
  return spawn(command, isMocking ? args : args.filter((argument) => !/^--import=.*\/@tapjs\/(?:typescript|processinfo|mock)\//.test(argument)), ...rest)
}

await import('../../node_modules/tap/dist/esm/run.mjs')
