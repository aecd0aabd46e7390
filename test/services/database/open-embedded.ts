// Run by tests in a process of its own: opens the embedded database in the folder given, and commits rows until it is killed.
import { openEmbedded } from '../../../services/database/embedded.js'

try {
  const { db } = await openEmbedded(process.argv[2] as string)
  await db.exec('CREATE TABLE IF NOT EXISTS kept (n int)')
  console.log('open')
  for (let n = 1; ; n++) {
    await db.query('INSERT INTO kept VALUES ($1)', [String(n)])
    console.log(n)
  }
} catch (error) {
  console.error((error as Error).message)
  process.exit(1)
}
