import type { Claim, SharedBackend } from '../backends/backend.js'
import { type InFlight, nameOf, type Operation } from '../in-flight.js'
import { type Grant, type LeaseGiver, type Leases, LeasesAwayError, type LocalLeases, stampOf } from '../leases.js'
import type { Wakeups } from '../wakeups.js'

/** Milliseconds that a lease lasts at least from the moment on at which its holder comes to fill it. */
const FILL_TIME = 1000

export interface SharedLeasesOptions {
  giver: LeaseGiver
  backend: Pick<SharedBackend, 'claim'>
  inFlight: InFlight
  wakeups: Wakeups
  /** For as long as those of all processes cannot be had. */
  alone: LocalLeases
}

/**
 * Leases that all processes know of. Where the backend needs a claim to keep what a load brings, its token goes with that of the lease,
 * so that whoever brings the value, to whichever process, stores it over the item as it was when the lease was given.
 */
export class SharedLeases implements Leases {
  readonly isShared = true
  #options: SharedLeasesOptions
  /** Tokens given to this process by a giver that may be away when they are to be proved; each goes when its lease has ended. */
  #given = new Map<string, NodeJS.Timeout>()

  constructor (options: SharedLeasesOptions) { this.#options = options }

  get precedesReads (): boolean { return this.#options.giver.precedesReads === true }

  async acquire (namespace: string, key: string, milliseconds: number, over?: string): Promise<Grant> {
    const { giver, alone } = this.#options
    try {
      const grant = await giver.acquire(namespace, key, milliseconds, over)
      if (!grant.isMine) return grant
      if (giver.isApart === true) this.#note(grant.token, milliseconds)
      return await this.#claimed(namespace, key, grant)
    } catch (error) {
      if (!(error instanceof LeasesAwayError)) throw error
      return await alone.acquire(namespace, key, milliseconds, over)
    }
  }

  async renew (namespace: string, key: string, token: string, milliseconds: number): Promise<boolean> {
    const { giver, alone } = this.#options
    if (alone.has(namespace, key, token)) return await alone.renew(namespace, key, token, milliseconds)
    const [bare] = partsOf(token)
    if (this.#given.has(bare)) this.#note(bare, milliseconds)
    try {
      return await giver.renew(namespace, key, bare, milliseconds)
    } catch (error) {
      // As far as anybody knows it still is.
      if (error instanceof LeasesAwayError) return true
      throw error
    }
  }

  async release (namespace: string, key: string, token: string, tell: boolean): Promise<void> {
    const { giver, alone, wakeups } = this.#options
    if (alone.has(namespace, key, token)) {
      await alone.release(namespace, key, token, tell)
      return
    }
    const [bare] = partsOf(token)
    this.#forget(bare)
    try {
      await giver.release(namespace, key, bare, tell)
    } catch (error) {
      // Then it ends by itself.
      if (!(error instanceof LeasesAwayError)) throw error
    } finally {
      // What a process announces it does not hear itself.
      if (tell) wakeups.wake(nameOf(namespace, key))
    }
  }

  async operation (namespace: string, key: string, token: string): Promise<Operation | undefined> {
    const { backend, inFlight, alone } = this.#options
    if (alone.has(namespace, key, token)) return alone.operation(namespace, key, token)
    const [bare, claimToken] = partsOf(token)
    const stamp = stampOf(bare)
    if (Number.isNaN(stamp) || (claimToken === undefined) !== (backend.claim === undefined)) return undefined
    const claim = claimToken === undefined ? undefined : await backend.claim?.(namespace, key, claimToken)
    if ((claimToken !== undefined && claim === undefined) || !await this.#stands(namespace, key, bare)) return undefined
    return inFlight.begin(nameOf(namespace, key), stamp, true, claim)
  }

  async #stands (namespace: string, key: string, token: string): Promise<boolean> {
    try {
      return await this.#options.giver.renew(namespace, key, token, FILL_TIME)
    } catch (error) {
      // Nobody else can have got it since, but by the same failure; and what changed since keeps an old value out by its stamp.
      if (error instanceof LeasesAwayError) return this.#given.has(token)
      throw error
    }
  }

  async #claimed (namespace: string, key: string, grant: Grant & { isMine: true }): Promise<Grant> {
    const { backend, giver } = this.#options
    let claim: Claim | undefined
    try {
      claim = await backend.claim?.(namespace, key)
    } catch (error) {
      // Where that fails too the lease ends by itself.
      giver.release(namespace, key, grant.token, true).catch(() => {})
      throw error
    }
    return claim === undefined ? grant : { ...grant, claim, token: `${grant.token}.${claim.token}` }
  }

  #note (token: string, milliseconds: number): void {
    this.#forget(token)
    this.#given.set(token, setTimeout(() => { this.#given.delete(token) }, milliseconds).unref())
  }

  #forget (token: string): void {
    clearTimeout(this.#given.get(token))
    this.#given.delete(token)
  }
}

/** The token of the lease, and that of the claim where there is one. */
function partsOf (token: string): [lease: string, claim: string | undefined] {
  const point = token.indexOf('.')
  return point === -1 ? [token, undefined] : [token.slice(0, point), token.slice(point + 1)]
}
