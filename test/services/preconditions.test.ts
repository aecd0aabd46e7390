import t from 'tap'
import type { Condition } from '../../services/cache/entry.js'
import { PreconditionFailedError } from '../../services/cache/errors.js'
import { isNotModified, parsePreconditions, writeIf, type Preconditions } from '../../services/preconditions.js'

t.test('headers become preconditions', async (t) => {
  t.equal(parsePreconditions(undefined, undefined), undefined)
  t.strictSame(parsePreconditions('*', undefined), { match: '*' })
  t.strictSame(parsePreconditions(' "a" , W/"b",', undefined), { match: ['"a"', 'W/"b"'] })
  t.strictSame(parsePreconditions('"a"', ' * '), { match: ['"a"'], noneMatch: '*' })
  t.strictSame(parsePreconditions(',"a,b",\t, W/"," ,', '"",","'), { match: ['"a,b"', 'W/","'], noneMatch: ['""', '","'] }, 'a comma between quotes divides nothing')
  for (const header of ['', ',', 'a', '"a', 'a"', '"a" b', '"a" "b"', '"a", *', '*, "a"', '"a"W/"b"', 'w/"a"', '"\u0001"']) {
    t.throws(() => parsePreconditions(header, undefined), { code: 'ERR_INVALID_INPUT', message: /^If-Match / }, JSON.stringify(header))
    t.throws(() => parsePreconditions(undefined, header), { code: 'ERR_INVALID_INPUT', message: /^If-None-Match / }, JSON.stringify(header))
  }
})

t.test('a GET is not modified when any tag is that of the version, weakly', async (t) => {
  for (const header of ['"v1"', 'W/"v1"', '*', ' * ', '"v0", "v1"', '"v0",W/"v1"']) t.equal(isNotModified(header, 'v1'), true, header)
  for (const header of ['"v2"', 'v1', '', '"v1', 'W/"v2"']) t.equal(isNotModified(header, 'v1'), false, header)
})

/** One entry whose version others may change between a reading and a writing. */
class Register {
  version: string | undefined
  writes: Condition[] = []
  disturbances = 0

  constructor (version: string | undefined) {
    this.version = version
  }

  read = async () => this.version

  write = async (condition: Condition) => {
    this.writes.push(condition)
    if (this.disturbances > 0) {
      this.disturbances--
      this.version = `${this.version}x`
    }
    if ('absent' in condition ? this.version !== undefined : this.version !== condition.version) throw new PreconditionFailedError('k')
    this.version = 'new'
    return 'written'
  }
}

t.test('a write happens in exactly the states that its preconditions allow', async (t) => {
  const cases: Array<[Preconditions, version: string | undefined, allowed: boolean]> = [
    [{ noneMatch: '*' }, undefined, true], [{ noneMatch: '*' }, 'v1', false],
    [{ match: '*' }, 'v1', true], [{ match: '*' }, undefined, false],
    [{ match: ['"v1"'] }, 'v1', true], [{ match: ['"v1"'] }, 'v2', false], [{ match: ['"v1"'] }, undefined, false],
    [{ match: ['"v0"', '"v1"'] }, 'v1', true], [{ match: ['"v0"', '"v1"'] }, 'v2', false],
    [{ match: ['W/"v1"'] }, 'v1', false],
    [{ noneMatch: ['"v1"'] }, 'v1', false], [{ noneMatch: ['W/"v1"'] }, 'v1', false],
    [{ noneMatch: ['"v1"'] }, 'v2', true], [{ noneMatch: ['"v1"'] }, undefined, true],
    [{ match: ['"v1"'], noneMatch: ['"v2"'] }, 'v1', true], [{ match: ['"v1"'], noneMatch: ['"v1"'] }, 'v1', false],
    [{ match: '*', noneMatch: '*' }, 'v1', false], [{ match: '*', noneMatch: '*' }, undefined, false]
  ]
  for (const [preconditions, version, allowed] of cases) {
    const register = new Register(version)
    const attempt = writeIf(preconditions, 'k', register.read, register.write)
    const name = `${JSON.stringify(preconditions)} at ${version}`
    if (allowed) t.equal(await attempt, 'written', name)
    else await t.rejects(attempt, { code: 'ERR_PRECONDITION_FAILED', statusCode: 412 }, name)
    t.equal(register.version, allowed ? 'new' : version)
  }
})

t.test('one state is asked for without reading first', async (t) => {
  const read = async () => t.fail('reads')
  await t.resolveMatch(writeIf({ noneMatch: '*' }, 'k', read as never, async (condition) => condition), { absent: true })
  await t.resolveMatch(writeIf({ match: ['"v1"'] }, 'k', read as never, async (condition) => condition), { version: 'v1' })
})

t.test('a write that another one overtook is tried again, not for ever', async (t) => {
  const register = new Register('v')
  register.disturbances = 3
  t.equal(await writeIf({ match: '*' }, 'k', register.read, register.write), 'written')
  t.equal(register.writes.length, 4)

  const busy = new Register('v')
  busy.disturbances = Infinity
  await t.rejects(writeIf({ match: '*' }, 'k', busy.read, busy.write), { code: 'ERR_PRECONDITION_FAILED' })
  t.equal(busy.writes.length, 10)
})

t.test('another failure is not tried again', async (t) => {
  let writes = 0
  const write = async () => { writes++; throw new Error('down') }
  await t.rejects(writeIf({ match: '*' }, 'k', async () => 'v', write), { message: 'down' })
  t.equal(writes, 1)
})
