/** For tests on a busy machine that send thousands of requests in a moment, and bad credentials among them: limits that nobody reaches. */
export const UNLIMITED = { RATE_LIMITS: '1000000/second', FAILED_LOGIN_LIMITS: '1000000/second', OVERLOAD_DELAY: '0' }
