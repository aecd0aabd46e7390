import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import SQL from '@nearform/sql'
import type { Queryable } from '../../database.js'
import { NotFoundError, UnavailableError } from '../../errors.js'
import type { Recording } from '../../idempotency/recording.js'
import type { CredentialStore } from '../credential-store.js'
import type { Principal } from '../principal.js'
import { ID, MAX_TTL } from './claims.js'
import type { Sealer } from './sealer.js'
import { SigningKey, type Algorithm, type PublicKey } from './signing-key.js'

export interface SigningKeysOptions {
  store: Pick<CredentialStore, 'change' | 'check' | 'follow' | 'refresh'>
  sealer: Sealer
  /** The one that is used: keys of the other sign and verify nothing. */
  algorithm: Algorithm
  /** Whether other processes may make keys too. */
  shared: boolean
  /** Milliseconds since 1970. */
  now?: () => number
  log: { warn (detail: object, message: string): void }
}

/** A signing key as it is listed. */
export interface SigningKeyStatus {
  readonly kid: string
  readonly algorithm: Algorithm
  readonly state: 'signing' | 'verifying' | 'retired' | 'expired'
  readonly createdAt: number
  readonly createdBy: string
  /** When the last valet key under it will have expired; undefined while it signs. */
  readonly verifiesUntil: number | undefined
}

interface Known {
  readonly key: SigningKey | undefined
  readonly position: number
  readonly verifiesUntil: number | undefined
}

/** Milliseconds between looks for a key that is not known here: whoever makes key ids up causes so many and no more. */
const PACE = 50
/** Seconds that a key verifies for longer than any valet key lives: another process may have signed with it a moment ago. */
const MARGIN = 60
/** What the keys derived from SECRET_KEY are for. */
export const PURPOSE = 'larder: signing keys of valet keys, AES-256-GCM'
/** How long keys that are over stay listed, in PostgreSQL's words. */
const KEPT = '1 day'

/**
 * The keys that valet keys are signed with, sealed in PostgreSQL and open in memory. The newest signs. A new one is in force in
 * the process that made it at once; another one that meets a valet key under it looks for it before it says no.
 */
export class SigningKeys {
  readonly #options: Required<SigningKeysOptions>
  #keys = new Map<string, Known>()
  #looking: Promise<void> | undefined
  #lookedAt = -Infinity

  constructor (options: SigningKeysOptions) {
    this.#options = { now: () => Date.now(), ...options }
  }

  /** Loads the keys, and makes one when there is none that signs. */
  async open (): Promise<void> {
    await this.#options.store.follow((database, since) => this.#load(database, since))
    if (this.#signing() === undefined) await this.#make('')
  }

  /** The one that signs. @throws UnavailableError */
  async current (): Promise<SigningKey> {
    const known = this.#signing()
    if (known !== undefined) return known
    // Another process has replaced it by one that cannot be opened here: it has another SECRET_KEY.
    await this.#make('')
    const made = this.#signing()
    if (made === undefined) throw new UnavailableError('There is no key to sign with: try again in a moment.')
    return made
  }

  /**
   * The one with the id, if it verifies: at once where it is known.
   * @throws UnavailableError when that cannot be known now
   */
  find (kid: string): SigningKey | undefined | Promise<SigningKey | undefined> {
    const known = this.#keys.get(kid)
    if (known !== undefined || !this.#options.shared) return this.#usable(known)
    return this.#look().then(() => this.#usable(this.#keys.get(kid)))
  }

  /** Looks at the database again, now. */
  async refresh (): Promise<void> {
    await this.#options.store.refresh()
  }

  /** The public keys that verify, oldest first; none unless the algorithm has any. */
  published (): PublicKey[] {
    return [...this.#keys.values()].sort((a, b) => a.position - b.position)
      .filter((known) => this.#isLive(known)).flatMap(({ key }) => key?.published ?? [])
  }

  /**
   * Makes a key that signs from now on. Those before it go on verifying until the last valet key under them has expired, or,
   * when they are to be retired, verify nothing any more.
   * @returns its id
   */
  async rotate (by: Principal, { retire = false }: { retire?: boolean } = {}, recording?: Recording<string>): Promise<string> {
    const { store, algorithm } = this.#options
    return await store.change(async (transaction, revision) => {
      await transaction.query(SQL`
        UPDATE valet_signing_keys SET revision = ${revision}, verifies_until = coalesce(verifies_until, now() + make_interval(secs => ${MAX_TTL + MARGIN})),
          retired_at = CASE WHEN ${retire}::boolean THEN now() END
        WHERE algorithm = ${algorithm} AND retired_at IS NULL AND (verifies_until IS NULL OR ${retire}::boolean)`)
      await transaction.query(SQL`DELETE FROM valet_signing_keys WHERE verifies_until < now() - ${KEPT}::interval`)
      const kid = await this.#insert(transaction, revision, by.id)
      await recording?.(transaction, kid)
      return kid
    })
  }

  /** Makes all valet keys under the key void, at once. When it is the one that signs, another one takes its place. @throws NotFoundError */
  async retire (kid: string, by: Principal): Promise<void> {
    const { store } = this.#options
    await store.change(async (transaction, revision) => {
      const { rows: [row] } = await transaction.query<{ signed: boolean }>(SQL`
        UPDATE valet_signing_keys AS key SET revision = ${revision}, verifies_until = coalesce(key.verifies_until, now()), retired_at = coalesce(key.retired_at, now())
        FROM valet_signing_keys AS before WHERE key.kid = ${ID.test(kid) ? kid : ''} AND before.kid = key.kid
        RETURNING before.verifies_until IS NULL AND before.retired_at IS NULL AS signed`)
      if (row === undefined) throw new NotFoundError('There is no signing key with this id: GET /valet/keys lists those there are.')
      if (row.signed) await this.#insert(transaction, revision, by.id)
    })
  }

  /** All of them, newest first, from the database. */
  async list (database: Queryable): Promise<SigningKeyStatus[]> {
    const { rows } = await database.query<Row>('SELECT * FROM valet_signing_keys ORDER BY position DESC')
    const now = this.#options.now()
    return rows.map((row) => {
      const verifiesUntil = row.verifies_until?.getTime()
      const state = row.retired_at !== null ? 'retired' : verifiesUntil === undefined ? 'signing' : verifiesUntil > now ? 'verifying' : 'expired'
      return { kid: row.kid, algorithm: row.algorithm, state, createdAt: row.created_at.getTime(), createdBy: row.created_by, verifiesUntil }
    })
  }

  /** Only where there is none that this process can open: of several that start together one makes it. */
  async #make (by: string): Promise<void> {
    await this.#options.store.change(async (transaction, revision) => {
      const { rows } = await transaction.query<Row>('SELECT * FROM valet_signing_keys WHERE verifies_until IS NULL AND retired_at IS NULL')
      if (rows.some((row) => row.algorithm === this.#options.algorithm && this.#opened(row) !== undefined)) return
      await this.#insert(transaction, revision, by)
    })
  }

  async #insert (transaction: Queryable, revision: number, by: string): Promise<string> {
    const { sealer, algorithm } = this.#options
    const kid = randomUUID()
    const sealed = sealer.seal(SigningKey.secret(algorithm), boundTo(kid, algorithm))
    await transaction.query(SQL`
      INSERT INTO valet_signing_keys (kid, algorithm, sealed, created_by, revision) VALUES (${kid}, ${algorithm}, ${sealed}, ${by}, ${revision})`)
    return kid
  }

  async #load (database: Queryable, since: number): Promise<() => void> {
    const { rows } = await database.query<Row>(SQL`SELECT * FROM valet_signing_keys WHERE revision > ${since} OR ${since}::bigint = 0`)
    return () => {
      const keys = since === 0 ? new Map<string, Known>() : new Map(this.#keys)
      const now = this.#options.now()
      for (const row of rows) {
        if (row.algorithm !== this.#options.algorithm) continue
        const { kid, retired_at: retired, verifies_until: until, position } = row
        if (retired === null) keys.set(kid, { key: keys.get(kid)?.key ?? this.#opened(row), position: Number(position), verifiesUntil: until?.getTime() })
        else keys.set(kid, { key: undefined, position: Number(position), verifiesUntil: 0 })
      }
      for (const [kid, { verifiesUntil }] of keys) if (verifiesUntil !== undefined && verifiesUntil > 0 && verifiesUntil < now) keys.delete(kid)
      this.#keys = keys
    }
  }

  #opened ({ kid, algorithm, sealed }: Row): SigningKey | undefined {
    const secret = this.#options.sealer.open(sealed, boundTo(kid, algorithm))
    if (secret !== undefined) return new SigningKey(kid, algorithm, secret)
    this.#options.log.warn({ kid }, 'A signing key of valet keys was sealed under another SECRET_KEY, so what it signs is not accepted here: ' +
      'give all processes the same, or the new one and the old one as `new,old`')
    return undefined
  }

  #signing (): SigningKey | undefined {
    let newest: Known | undefined
    for (const known of this.#keys.values()) {
      if (known.key !== undefined && known.verifiesUntil === undefined && known.position > (newest?.position ?? -1)) newest = known
    }
    return newest?.key
  }

  #isLive ({ verifiesUntil }: Known): boolean {
    return verifiesUntil === undefined || this.#options.now() < verifiesUntil
  }

  #usable (known: Known | undefined): SigningKey | undefined {
    if (known === undefined || !this.#isLive(known)) return undefined
    if (known.key === undefined) throw new UnavailableError('This process cannot check the credential, since its SECRET_KEY is not the one of who issued it.')
    return known.key
  }

  /** One look for all who wait for it to begin, and after a pause: the one under way may have begun too early for them. */
  #look (): Promise<void> {
    this.#looking ??= (async () => {
      await sleep(Math.max(0, this.#lookedAt + PACE - performance.now()), undefined, { ref: false })
      this.#looking = undefined
      this.#lookedAt = performance.now()
      await this.#options.store.refresh()
    })()
    return this.#looking
  }
}

interface Row {
  kid: string
  position: string
  algorithm: Algorithm
  sealed: Buffer
  created_at: Date
  created_by: string
  verifies_until: Date | null
  retired_at: Date | null
}

/** What a sealed key can only be opened together with. */
export const boundTo = (kid: string, algorithm: string): string => `valet signing key ${kid} ${algorithm}`
