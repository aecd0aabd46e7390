import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** Bytes of a body that are read and thrown away, so that the connection stays: less than closing one costs. */
const SMALL = 64 * 1024
/** Milliseconds that a client has to take the answer, before the connection that it still sends on is cut. */
const LINGER = 1000

/** The last request of a connection that was answered without its body. */
const left = new WeakMap<Socket, IncomingMessage>()

/** Whether what still comes on the connection is of a request that has its answer: whatever is wrong with it, another would be taken for the next one's. */
export function isAnswered (socket: Socket): boolean {
  return left.get(socket)?.complete === false
}

/**
 * Answers without taking what is still to come of a body: the answer ends the connection, which then is neither read from nor closed for
 * a moment. Who sends much to a door that stays shut is stopped by their own full buffers, and finds the answer; a connection closed at
 * once, with bytes unread, would be reset, and the answer lost.
 */
export function leaveUnread (request: FastifyRequest, reply: FastifyReply): void {
  const { raw } = request
  if (raw.complete || raw.readableDidRead) return
  const { socket } = raw
  if (socket === null || socket.destroyed) return
  left.set(socket, raw)
  const length = raw.headers['content-length']
  if (raw.headers['transfer-encoding'] === undefined && (length === undefined || Number(length) <= SMALL)) return
  reply.header('connection', 'close')
  // Node calls it when the last answer of a connection is written.
  socket.destroySoon = () => {
    socket.end()
    // Node itself begins to throw the body away, in the next tick.
    setImmediate(() => { socket.pause() })
    setTimeout(() => { socket.destroy() }, LINGER).unref()
  }
}
