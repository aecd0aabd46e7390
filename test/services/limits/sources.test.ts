import t from 'tap'
import { sourceOf } from '../../../services/limits/sources.js'

t.test('an address is itself in IPv4, and its network of 64 bits in IPv6', (t) => {
  const same: [string, string[]][] = [
    ['127.0.0.1', ['127.0.0.1', '::ffff:127.0.0.1', '::FFFF:7f00:1', '0:0:0:0:0:ffff:127.0.0.1']],
    ['2001:db8:1:2::/64', ['2001:db8:1:2::1', '2001:0DB8:0001:0002:ffff:ffff:ffff:ffff', '2001:db8:1:2:3::', '2001:db8:1:2::1.2.3.4']],
    ['0:0:0:0::/64', ['::1', '::', '::7f00:1']],
    ['fe80:0:0:0::/64', ['fe80::1', 'fe80::1%eth0']],
    ['nowhere', ['', 'not:an:address', '1.2.3.4:5678', 'a'.repeat(10_000), ':'.repeat(10_000)]]
  ]
  for (const [source, addresses] of same) for (const address of addresses) t.equal(sourceOf(address), source, address.slice(0, 50))
  t.equal(sourceOf(undefined), 'nowhere')
  t.end()
})
