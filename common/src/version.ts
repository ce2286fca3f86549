/** The release that every tier reports. */
export const VERSION = '0.1.0'
