import { Type, type StringOptions } from '@sinclair/typebox'

/** Text that PostgreSQL takes as it is: it has no room for NUL, and halves of surrogate pairs are not UTF-8. The pattern is one that other languages read as well. */
export const storedText = (options: StringOptions) => Type.String({ pattern: '^[^\\u0000\\uD800-\\uDFFF]*$', ...options })
