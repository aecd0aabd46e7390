/** Listens with what `build` makes of the parent's order, and answers how much processor time was used. */
export function serve (build) {
  let close = async () => {}
  const end = () => close().finally(() => process.exit(0))
  process.once('SIGTERM', end)
  process.once('disconnect', end)
  process.once('message', async (order) => {
    const app = await build(order)
    close = () => app.close()
    await app.listen({ host: '127.0.0.1', port: 0 })
    process.on('message', () => process.send(process.cpuUsage()))
    process.send({ port: app.server.address().port })
  })
}
