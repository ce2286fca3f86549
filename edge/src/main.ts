import { keepYoungGenerationSmall } from './young-generation.js'

keepYoungGenerationSmall()
await import('./command.js')
