import t from 'tap'
import { fromBase64, toBase64 } from '../../dashboard/pages/explore/base64.js'
import { ExportProgress } from '../../dashboard/pages/explore/export-progress.js'
import { namespacesOf } from '../../dashboard/pages/explore/place.js'
import { beginning, fileNameOf, hexDump, textOf, timeLeft } from '../../dashboard/pages/explore/value-text.js'

void t.test('bytes become base64 and come back', async (t) => {
  const bytes = Uint8Array.from({ length: 20_001 }, (_, index) => index % 256)
  t.equal(toBase64(bytes), Buffer.from(bytes).toString('base64'))
  t.strictSame(fromBase64(toBase64(bytes)), bytes)
  for (const text of ['A', 'AP9=', 'AP8', 'A P8=', '-_==', 'é']) t.equal(fromBase64(text), undefined, text)
})

void t.test('values are text, and long ones are cut between characters', async (t) => {
  t.equal(textOf('<b>', 'string'), '<b>')
  t.equal(textOf('<b>', 'json'), '"<b>"')
  t.equal(textOf({ a: 1 }, 'dictionary'), '{\n  "a": 1\n}')
  t.equal(textOf(1.5, 'number'), '1.5')
  t.equal(beginning('abc', 3), 'abc')
  t.equal(beginning('ab😀c', 3), 'ab')
  t.equal(beginning('ab😀c', 4), 'ab😀')
})

void t.test('bytes are shown by place, digits and what is readable', async (t) => {
  t.strictSame(hexDump(new TextEncoder().encode('0123456789abcdef\u0000<é>')).split('\n'), [
    '000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  0123456789abcdef',
    '000010  00 3c c3 a9 3e                                   .<..>'
  ])
  t.equal(hexDump(new Uint8Array(1000)).split('\n').length, 16)
  t.equal(hexDump(new Uint8Array(0)), '')
})

void t.test('what is left of a TTL is said to the second', async (t) => {
  const said = [
    [undefined, 'never expires'], [0, 'expired'], [-3, 'expired'], [0.2, '1 s'], [59.2, '1 min'], [61, '1 min 1 s'], [3600, '1 h'], [3661, '1 h 1 min'],
    [86_405, '1 d'], [200_000, '2 d 7 h']
  ] as const
  for (const [seconds, words] of said) t.equal(timeLeft(seconds), words)
})

void t.test('a file is named after its key, and nothing else', async (t) => {
  t.equal(fileNameOf('user:1', 'json'), 'user_1.json')
  t.equal(fileNameOf('../../etc/passwd', 'string'), 'etc_passwd.txt')
  t.equal(fileNameOf('\u202egpj.exe', 'binary'), 'gpj.exe.bin')
  t.equal(fileNameOf('///', 'list'), 'value.json')
})

void t.test('an export is followed as it comes, however it is cut', async (t) => {
  const row = '{"key":"a","value":"x\\n"}'
  const files = {
    json: `{"success":true,"entries":[\n${row},\n${row}\n],"total_items":2}\n`,
    ndjson: '{"row":1,"key":"a"}\n{"row":2,"key":"b","total_items":2}\n',
    csv: 'key,value\r\na,1\r\nb,2\r\n'
  }
  for (const format of ['json', 'ndjson', 'csv'] as const) {
    const bytes = new TextEncoder().encode(files[format])
    for (const size of [1, 7, 1000]) {
      const progress = new ExportProgress(format)
      for (let at = 0; at < bytes.length; at += size) progress.add(bytes.subarray(at, at + size))
      t.strictSame([progress.entries, progress.bytes, progress.isWhole], [2, bytes.length, true], `${format} by ${size}`)
    }
    const cut = new ExportProgress(format)
    cut.add(bytes.subarray(0, bytes.length - 8))
    t.equal(cut.isWhole, format === 'csv', `${format}, cut off`)
  }
  t.equal(new ExportProgress('ndjson').isWhole, true)
  t.equal(new ExportProgress('json').isWhole, false)
})

void t.test('namespaces are offered by name to whoever is limited to some', async (t) => {
  const of = (namespaces: string[] | null, resources: string[] | null) => namespacesOf({ namespaces, resources })
  t.equal(of(null, null), undefined)
  t.strictSame(of(['b', 'a'], null), ['b', 'a'])
  t.strictSame(of(null, ['cache/shop/user:*', 'cache/stock/*', 'cache/shop/x', 'products/1']), ['shop', 'stock'])
  for (const resources of [['*'], ['cache/*'], ['cache/te*'], ['cache/te*/a'], ['ca*']]) t.equal(of(null, resources), undefined, resources[0]!)
})
