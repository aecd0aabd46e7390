import { Type, type StringOptions } from '@sinclair/typebox'

/** Text that PostgreSQL takes as it is: it has no room for NUL, and halves of surrogate pairs are not UTF-8. */
export const storedText = (options: StringOptions) => Type.String({ pattern: '^[^\\u0000\\p{Cs}]*$', ...options })
