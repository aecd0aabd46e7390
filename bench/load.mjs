import { createRequire } from 'node:module'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CORE, which } from './machine.mjs'
import { start } from './processes.mjs'

/** Connections kept open, each with one request at a time. */
const CONNECTIONS = 64

/**
 * Makes the load on its own core: wrk where it is installed, else autocannon.
 * @param folder for its scripts
 * @param chosen `wrk` or `autocannon`; undefined takes the better one there is
 */
export function loadGenerator (folder, chosen = which('wrk') === undefined ? 'autocannon' : 'wrk') {
  return chosen === 'wrk' ? wrk(folder) : autocannon(folder)
}

/** What one round brought: `{ requests, seconds }`. Throws when any answer was not 2xx. */
function wrk (folder) {
  const scriptOf = writtenOnce(folder, 'lua', luaScript)
  return {
    name: 'wrk -t1 -c64',
    async run (url, requests, seconds) {
      const output = await outputOf(which('wrk'), ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-s', scriptOf(requests), url])
      const [, answered, microseconds, faults] = /^total (\d+) (\d+) (\d+)$/m.exec(output) ?? fail(`wrk said:\n${output}`)
      return checked({ requests: Number(answered), seconds: microseconds / 1e6, faults: Number(faults) })
    }
  }
}

function autocannon (folder) {
  const program = createRequire(import.meta.url).resolve('autocannon')
  const fileOf = writtenOnce(folder, 'json', JSON.stringify)
  const script = join(folder, 'autocannon.mjs')
  writeFileSync(script, `
    import autocannon from ${JSON.stringify(program)}
    import { readFileSync } from 'node:fs'
    const [, , url, requestsFile, seconds] = process.argv
    const requests = JSON.parse(readFileSync(requestsFile))
    const { requests: { total }, duration, errors, timeouts, non2xx } = await autocannon({
      url, requests, connections: ${CONNECTIONS}, duration: Number(seconds)
    })
    console.log(JSON.stringify({ requests: total, seconds: duration, faults: errors + timeouts + non2xx }))
  `)
  return {
    name: 'autocannon -c 64 (slower than what it measures: only CPU µs tell)',
    async run (url, requests, seconds) {
      return checked(JSON.parse(await outputOf(process.execPath, [script, url, fileOf(requests), String(seconds)])))
    }
  }
}

/** Answers the path of a file with what `format` makes of the requests; they are too many for an argument. */
function writtenOnce (folder, extension, format) {
  const paths = new Map()
  return (requests) => {
    if (!paths.has(requests)) {
      const path = join(folder, `requests-${paths.size}.${extension}`)
      writeFileSync(path, format(requests))
      paths.set(requests, path)
    }
    return paths.get(requests)
  }
}

function checked ({ requests, seconds, faults }) {
  if (!(requests > 0) || faults > 0) throw new Error(`Of ${requests} requests ${faults} failed: nothing of this counts.`)
  return { requests, seconds }
}

/** Goes through the requests in their order, over and over; they are put together beforehand. */
const luaScript = (requests) => `
local requests, at = {}, 0
function init ()
${requests.map(luaRequest).join('\n')}
end
function request ()
  at = at % #requests + 1
  return requests[at]
end
function done (summary)
  local errors = summary.errors
  local faults = errors.connect + errors.read + errors.write + errors.status + errors.timeout
  io.write(string.format("total %d %d %d\\n", summary.requests, summary.duration, faults))
end
`

// JSON text of ASCII is a Lua string as well.
function luaRequest ({ method, path, headers = {}, body }) {
  const named = Object.entries(headers).map(([name, value]) => `["${name}"] = ${JSON.stringify(value)}`).join(', ')
  return `  requests[#requests + 1] = wrk.format("${method}", ${JSON.stringify(path)}, {${named}}, ${body === undefined ? 'nil' : JSON.stringify(body)})`
}

async function outputOf (command, args) {
  const child = start(LOAD_CORE, command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  for await (const chunk of child.stdout) output += chunk
  return output
}

function fail (message) {
  throw new Error(message)
}
