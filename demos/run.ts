/**
 * `npm run demos`: gives the demonstrations, all of them or those that are named, in this order.
 *   npm run demos                      all
 *   npm run demos -- cache retry       these
 *   npm run demos -- --no-teardown     what the last one started keeps running
 *   npm run demos -- ./my-demo.ts      one of your own
 */
import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import cache from './cache.js'
import configuration from './configuration.js'
import pubsub from './pubsub.js'
import rateLimiting from './rate-limiting.js'
import retry from './retry.js'
import { demonstrate } from './support/demonstrate.js'
import { print } from './support/paper.js'
import type { Demo } from './support/stage.js'
import valetGatekeeper from './valet-gatekeeper.js'
import writeBehind from './write-behind.js'

const demos: readonly Demo[] = [cache, pubsub, retry, rateLimiting, valetGatekeeper, configuration, writeBehind]
const usage = `npm run demos -- [--no-teardown] [name or file …]\n\n${demos.map(({ name, title }) => `  ${name.padEnd(20)} ${title}`).join('\n')}\n`

const given = process.argv.slice(2)
const unknown = given.find((word) => word.startsWith('-') && !['--no-teardown', '--help', '-h'].includes(word)) ??
  given.find((word) => !word.startsWith('-') && !word.endsWith('.ts') && !demos.some(({ name }) => name === word))
if (unknown !== undefined) {
  process.stderr.write(`There is no demonstration or option ${unknown}.\n\n${usage}`)
  process.exit(2)
}
if (given.includes('--help') || given.includes('-h')) {
  print(usage)
  process.exit(0)
}
const wanted = await Promise.all(given.filter((word) => !word.startsWith('-')).map(named))
process.exit(await demonstrate(wanted.length === 0 ? demos : wanted, { keep: given.includes('--no-teardown') }))

async function named (word: string): Promise<Demo> {
  const known = demos.find(({ name }) => name === word)
  if (known !== undefined) return known
  const { default: demo } = await import(pathToFileURL(resolve(word)).href) as { default: Demo }
  return demo
}
