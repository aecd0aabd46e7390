import { createServer, type Socket } from 'node:net'
import type { Owner } from '../../../../support/servers.js'

/** Settings that a client asks for when it connects. */
const GREETING = 'STAT item_size_max 1048576\r\nEND\r\nSTAT time 1700000000\r\nEND\r\n'

export interface FakeServer {
  url: string
  /** Everything that was said after the greeting, of all connections. */
  heard: string[]
  connections: () => number
}

/**
 * A server that greets like memcached and then answers as it is told.
 * @param answer by what came in one piece after the greeting
 */
export async function fakeServer (owner: Owner, answer: (asked: string, socket: Socket) => void): Promise<FakeServer> {
  const heard: string[] = []
  const sockets = new Set<Socket>()
  let connections = 0
  const server = createServer((socket) => {
    connections++
    sockets.add(socket)
    socket.setEncoding('latin1')
    socket.on('error', () => {}) // clients that hang up are what these tests are about
    socket.on('data', (text: string) => {
      if (text.startsWith('stats settings')) {
        socket.write(GREETING)
        return
      }
      heard.push(text)
      answer(text, socket)
    })
  })
  await new Promise<void>((resolve) => { server.listen(0, '127.0.0.1', resolve) })
  owner.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => { server.close(resolve) })
  })
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return { url: `memcached://127.0.0.1:${port}`, heard, connections: () => connections }
}
