// Creates a PGlite folder and ends. A process of its own, because creating one takes some 800 MB that a long-lived process would keep.
import { PGlite } from '@electric-sql/pglite'

const database = new PGlite({ dataDir: process.argv[2] })
await database.waitReady
await database.close()
