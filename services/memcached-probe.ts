import { connect } from 'node:net'

/** Asks a memcached server for its version, over a connection of its own; rejects when there is no sane answer in time. */
export function probeMemcached (url: string, deadline = 1000): Promise<string> {
  const { hostname, port } = new URL(url.includes('://') ? url : `memcached://${url}`)
  return new Promise((resolve, reject) => {
    const socket = connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port === '' ? 11211 : Number(port) })
    let answer = ''
    const timer = setTimeout(() => socket.destroy(new Error('memcached did not answer in time')), deadline)
    socket.setEncoding('latin1')
    socket.on('connect', () => socket.write('version\r\n'))
    socket.on('data', (text: string) => {
      answer += text
      if (!answer.includes('\n') && answer.length < 256) return
      if (answer.startsWith('VERSION ')) resolve(answer.slice('VERSION '.length).trim())
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      clearTimeout(timer)
      reject(new Error('memcached did not answer with its version')) // no effect once resolved
    })
  })
}
