import { readFileSync } from 'node:fs'
import { jobSchema, runJob } from './client-jobs.js'

// The client of every part that wrk can't measure: a process of its own, so that it can have a core of its own. A job comes in on its
// standard input, what was seen goes out on its standard output; both JSON.
const job = jobSchema.parse(JSON.parse(readFileSync(0, 'utf8')))
process.stdout.write(`${JSON.stringify(await runJob(job))}\n`)
