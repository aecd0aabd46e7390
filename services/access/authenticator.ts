import type { Principal } from './principal.js'

/** What a credential is checked against, besides itself: a request is one. */
export interface Caller {
  /** The address, from the connection or from a proxy that is trusted. */
  readonly ip: string
  /** `authorization` is there when the credential came as a bearer's, and not as `x-api-key`. */
  readonly headers: { readonly authorization?: string | undefined }
}

/** Tells who holds a kind of credential. */
export interface Authenticator {
  /**
   * Changes whenever an answer given before may not hold any more; negative while nobody can say, and then every credential is asked
   * about. Absent: its answers are not remembered.
   */
  readonly epoch?: number
  /** Whether the text looks like one of its kind. Nothing is looked up for that. */
  recognises (credential: string): boolean
  /**
   * Who holds it: at once when that is known already.
   * @throws UnauthorizedError (`badCredential`) for one that does not hold
   * @throws UnavailableError (503) when that cannot be known now
   */
  authenticate (credential: string, caller: Caller): Principal | Promise<Principal>
  /**
   * Told of a request in place of `authenticate` when the answer is remembered: to count it, or to look at what may differ from one
   * request to the next. Whether the credential has expired was looked at.
   * @throws what `authenticate` would
   */
  recall? (principal: Principal, caller: Caller): void
}
