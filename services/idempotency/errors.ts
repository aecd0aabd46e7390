import createError from '@fastify/error'

/** The header is no key. */
export const MalformedKeyError = createError(
  'ERR_MALFORMED_REQUEST', 'Idempotency-Key must be one string of 1 to 255 printable ASCII characters, as in "8e03978e-40d5-43dd-bc93-6894a57f9324".', 400)

/** The key came before, with another request. */
export const KeyReusedError = createError(
  'ERR_IDEMPOTENCY_KEY_REUSED', 'This Idempotency-Key came with another request before: send what you sent then, or take a new key.', 422)

/** The first request with the key is still being carried out. */
export const InProgressError = createError(
  'ERR_REQUEST_IN_PROGRESS', 'The first request with this Idempotency-Key is still being carried out: send it again after the time in Retry-After.', 409)

/** The request was carried out; what was answered cannot be told again. */
export const AnswerNotKeptError = createError<[why: string]>(
  'ERR_ANSWER_NOT_KEPT', 'The request with this Idempotency-Key has been carried out, and is not carried out again; its answer is not there (%s): read what it changed.', 409)

/** The request failed, ran out of time or was cut off with its process, and nothing tells how far it came. */
export const OutcomeUnknownError = createError(
  'ERR_OUTCOME_UNKNOWN', 'The request with this Idempotency-Key was begun and not finished, and nothing tells whether it had an effect: ' +
    'read what it was to change, and decide whether to send it with a new key.', 409)
