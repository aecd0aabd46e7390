/**
 * The kinds of problem, by the last part of their `type` (`/problems/<slug>`): status, title (the same for every
 * occurrence) and what to do. An error class with the code `ERR_SOME_THING` has the kind `some-thing`.
 */
export const PROBLEMS = {
  'invalid-request': [400, 'Invalid request', 'The request does not have the form that this operation asks for: correct what `errors` names.'],
  'invalid-input': [400, 'Invalid input', 'A value is not acceptable: correct it and send the request again.'],
  'invalid-cursor': [400, 'Invalid cursor', 'Give `next_cursor` back as it came, or start without a cursor.'],
  'malformed-body': [400, 'Malformed body', 'The body cannot be read as JSON in UTF-8: check its syntax, its encoding and its depth.'],
  'malformed-request': [400, 'Malformed request', 'The request cannot be read as HTTP: check the address, the headers and the length of the body.'],
  unauthorized: [401, 'Unauthorized', 'This operation needs a credential: send one as `x-api-key` or `Authorization: Bearer`.'],
  'valet-key-exhausted': [401, 'Valet key exhausted', 'The valet key has been used as often as it may be: ask its issuer for another one.'],
  forbidden: [403, 'Forbidden', 'The credential does not permit this: ask for one with the scope that the operation states.'],
  'not-found': [404, 'Not found', 'There is nothing here by that name: list what there is first.'],
  'method-not-allowed': [405, 'Method not allowed', 'Use one of the methods in the Allow header.'],
  'not-acceptable': [406, 'Not acceptable', 'Ask for a type that this operation can answer with.'],
  'request-timeout': [408, 'Request timeout', 'The request did not arrive in time: send it again.'],
  conflict: [409, 'Conflict', 'Something else stands in the way: read the current state first.'],
  'wrong-type': [409, 'Wrong type', 'The stored value is not of the type that the operation needs: read it first, or use another key.'],
  'lease-lost': [409, 'Lease lost', 'The lease is over or the key has changed since it was given: read the key again.'],
  'request-in-progress': [409, 'Request in progress', 'The first request with this Idempotency-Key is being carried out: send it again after the time in Retry-After.'],
  'answer-not-kept': [409, 'Answer not kept', 'The request was carried out, and its answer cannot be told again: read what it changed.'],
  'outcome-unknown': [409, 'Outcome unknown', 'Nothing tells whether the request had its effect: read what it was to change, then decide.'],
  gone: [410, 'Gone', 'What this goes on from is not there any more: begin anew.'],
  'precondition-failed': [412, 'Precondition failed', 'Read the entry again and retry with its current version.'],
  'content-too-large': [413, 'Content too large', 'Send less in one request.'],
  'entry-too-large': [413, 'Entry too large', 'Store less under one key, or raise the limit of the backend.'],
  'uri-too-long': [414, 'URI too long', 'Shorten the address, or say it in a body.'],
  'unsupported-media-type': [415, 'Unsupported media type', 'Send JSON, uncompressed, with `Content-Type: application/json`.'],
  'expectation-failed': [417, 'Expectation failed', 'Leave out the Expect header, or send `100-continue`.'],
  'unknown-product': [422, 'Unknown product', 'A product that is named does not exist: create it first. Nothing was stored.'],
  'unsupported-here': [422, 'Not possible here', 'The request is valid, but this cannot be done here: choose something else.'],
  'idempotency-key-reused': [422, 'Idempotency key reused', 'The Idempotency-Key came with another request before: take a new one.'],
  'precondition-required': [428, 'Precondition required', 'Send If-Match with the version that you read.'],
  'too-many-requests': [429, 'Too many requests', 'Wait as long as Retry-After says, then go on more slowly.'],
  'header-fields-too-large': [431, 'Header fields too large', 'Send fewer or shorter headers.'],
  'client-gone': [499, 'Client gone', 'Nobody was there any more to take the answer: what was not committed was undone.'],
  'internal-error': [500, 'Internal error', 'This is a fault of the service: report it together with the instance.'],
  'not-loaded': [500, 'Not loaded', 'This is a fault of the service: report it together with the instance.'],
  'temporary-reduced-capacity': [503, 'Temporarily reduced capacity', 'There is more to do just now than can be done in time: try again after the time in Retry-After.'],
  unavailable: [503, 'Unavailable', 'Something that this needs is down: try again after the time in Retry-After.'],
  'commit-unknown': [503, 'Commit unknown', 'Whether the change was made is not known: look before you send it again.'],
  'backend-unavailable': [503, 'Backend unavailable', 'The backend of the cache is down or not configured: try again, or choose another.'],
  'too-many-waiters': [503, 'Too many waiters', 'Too many wait for the values of others: try again in a moment, or without a lease.'],
  timeout: [504, 'Timeout', 'What this needs did not answer in time: try again.'],
  'not-cached': [504, 'Not cached', 'Nothing that may answer this is cached: leave out `only-if-cached`.'],
  'load-timeout': [504, 'Load timeout', 'Computing the value took too long: try again.'],
  'backend-full': [507, 'Backend full', 'The backend has no room: delete something, or give it more.']
} as const satisfies Record<string, readonly [status: number, title: string, advice: string]>

export type ProblemSlug = keyof typeof PROBLEMS

/** The kind that stands for a status when nothing more is known. */
export const PROBLEM_BY_STATUS = {
  400: 'invalid-request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not-found',
  405: 'method-not-allowed',
  406: 'not-acceptable',
  408: 'request-timeout',
  409: 'conflict',
  410: 'gone',
  412: 'precondition-failed',
  413: 'content-too-large',
  414: 'uri-too-long',
  415: 'unsupported-media-type',
  422: 'unsupported-here',
  428: 'precondition-required',
  429: 'too-many-requests',
  431: 'header-fields-too-large',
  500: 'internal-error',
  503: 'unavailable',
  504: 'timeout',
  507: 'backend-full'
} as const satisfies Record<number, ProblemSlug>

/** The statuses that an operation can document as problems. */
export type ProblemStatus = keyof typeof PROBLEM_BY_STATUS
