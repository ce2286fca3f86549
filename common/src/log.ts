import { type DestinationStream, type Logger, pino } from 'pino'

export type { Logger }

/** JSON lines on stdout; `service` and `id` in each. Known secret fields are censored. */
export function createLogger(options: { service: string; id?: string; level?: string; destination?: DestinationStream }): Logger {
  return pino(
    {
      level: options.level ?? 'info',
      base: { service: options.service, ...(options.id && { id: options.id }) },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: {
        paths: ['token', 'secret', 'password', '*.token', '*.secret', '*.password', 'req.headers.authorization'],
        censor: '[secret]',
      },
    },
    options.destination ?? pino.destination({ fd: 1, sync: true }),
  )
}
