/** Listens with what `build` makes of the parent's order, and answers how much processor time was used. */
export function serve (build) {
  process.once('message', async (order) => {
    const app = await build(order)
    await app.listen({ host: '127.0.0.1', port: 0 })
    process.on('message', () => process.send(process.cpuUsage()))
    const close = () => app.close().finally(() => process.exit(0))
    process.once('SIGTERM', close)
    process.once('disconnect', close)
    process.send({ port: app.server.address().port })
  })
}
