import t from 'tap'
import type { DataType } from '../../services/cache/entry.js'
import { inferDataType, toTypedValue } from '../../services/values.js'

t.test('a value without a data type gets one', async (t) => {
  const cases: Array<[unknown, DataType]> = [
    ['', 'string'], ['text', 'string'], [0, 'number'], [-1.5, 'number'], [false, 'boolean'], [true, 'boolean'],
    [null, 'json'], [[], 'json'], [{}, 'json'], [[1, 'a'], 'json'], [{ a: null }, 'json']
  ]
  for (const [value, dataType] of cases) {
    t.equal(inferDataType(value), dataType, JSON.stringify(value))
    t.strictSame(toTypedValue(value), { value: JSON.stringify(value), dataType })
  }
})

t.test('a value must be of its data type', async (t) => {
  const lists = [[1], []]
  const dictionaries = [{ a: 1 }, {}]
  const samples: unknown[] = ['text', '', 'AAE=', 1, 0, true, false, null, ...lists, ...dictionaries]
  const accepted: Record<DataType, unknown[]> = {
    string: ['text', '', 'AAE='],
    number: [1, 0],
    boolean: [true, false],
    list: lists,
    dictionary: dictionaries,
    binary: ['text', '', 'AAE='], // four letters of the alphabet are base64, too
    json: samples
  }
  for (const dataType of Object.keys(accepted) as DataType[]) {
    for (const sample of samples) {
      const name = `${JSON.stringify(sample)} as ${dataType}`
      if (accepted[dataType].includes(sample)) {
        t.strictSame(toTypedValue(sample, dataType), { value: JSON.stringify(sample), dataType }, name)
      } else {
        t.throws(() => toTypedValue(sample, dataType), { code: 'ERR_INVALID_INPUT', statusCode: 400, message: /^value must be / }, name)
      }
    }
  }
})

t.test('binary takes canonical base64 alone', async (t) => {
  for (const text of ['', 'AA==', 'AAE=', 'AAEC', '+/+/']) t.equal(toTypedValue(text, 'binary').dataType, 'binary', text)
  for (const text of ['A', 'AA', 'AA=', 'AB==', 'AAE', 'AAE==', '-_-_', 'AA\n==', ' AAE', 'AAEC\n', 'ÄÄÄÄ', '====']) {
    t.throws(() => toTypedValue(text, 'binary'), { code: 'ERR_INVALID_INPUT' }, JSON.stringify(text))
  }
})

t.test('a number that JSON cannot carry is refused, wherever it stands', async (t) => {
  for (const text of ['1e400', '[1e400]', '{"a":{"b":[null,-1e400]}}']) {
    t.throws(() => toTypedValue(JSON.parse(text)), { code: 'ERR_INVALID_INPUT', message: /^value / }, text)
  }
  t.throws(() => toTypedValue(NaN, 'number'), { code: 'ERR_INVALID_INPUT' })
  t.equal(toTypedValue({ a: [null, 'null'] }).value, '{"a":[null,"null"]}', 'null itself is a value')
})

t.test('short ASCII stays a string, everything else becomes bytes', async (t) => {
  t.equal(toTypedValue('abc').value, '"abc"')
  t.strictSame(toTypedValue('é').value, Buffer.from('"é"'))
  t.strictSame(toTypedValue('a'.repeat(20_000)).value, Buffer.from(`"${'a'.repeat(20_000)}"`))
})

t.test('a lone surrogate in a value survives as its escape', async (t) => {
  const { value } = toTypedValue('\ud800')
  t.equal(value, '"\\ud800"')
  t.equal(JSON.parse(value as string), '\ud800')
})
