import t from 'tap'
import { AddressList, isAddressRange } from '../../../services/access/address-list.js'

t.test('addresses are found, however they are written', async (t) => {
  const list = new AddressList(['192.0.2.7', '10.0.0.0/8', '2001:db8::/32', '::ffff:198.51.100.0/120'])
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '::FFFF:c000:207', '10.255.255.255', '2001:DB8:1::1', '2001:db8::1%eth0', '198.51.100.9']) t.ok(list.covers(address), address)
  for (const address of ['192.0.2.8', '11.0.0.0', '2001:db9::', '::192.0.2.7', '', 'unknown', '10.0.0.1/8', '198.51.101.0']) t.notOk(list.covers(address), address)
  t.ok(new AddressList(['::/0']).covers('2001:db8::1'))
})

t.test('one list is within another when each of its ranges is within one of the other', async (t) => {
  const list = new AddressList(['10.0.0.0/8', '2001:db8::/32'])
  for (const texts of [['10.0.0.0/8'], ['10.9.0.0/16', '2001:db8::1'], ['::ffff:10.0.0.0/104'], []]) t.ok(list.includes(new AddressList(texts)), String(texts))
  for (const texts of [['10.0.0.0/7'], ['0.0.0.0/0'], ['::/0'], ['10.0.0.0/8', '11.0.0.1'], ['2001:db8::/31'], ['::ffff:0:0/95']]) t.notOk(list.includes(new AddressList(texts)), String(texts))
})

t.test('what is none is told apart', async (t) => {
  for (const text of ['10.0.0.1', '10.0.0.0/0', '::1', '2001:db8::/128', '::ffff:10.0.0.1']) t.ok(isAddressRange(text), text)
  for (const text of ['', '10', '10.0.0.0/33', '10.0.0.0/08', '10.0.0.0/', '::/129', 'fe80::1%eth0', '010.0.0.1', 'localhost', '10.0.0.1 ', '10.0.0.0/8/8']) t.notOk(isAddressRange(text), text)
})
