import { keepYoungGenerationSmall } from './young-generation.js'

// A keeper or a worker of an edge with several workers: forked by the supervisor, never run by hand.
keepYoungGenerationSmall()
await import('./child-command.js')
