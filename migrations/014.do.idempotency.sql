-- Requests with an Idempotency-Key, and the first answers to them. Where the effect is in this database, its transaction sets `applied`.
CREATE TABLE idempotency_keys (
  -- SHA-256 of who asks, what for, and the key.
  id bytea PRIMARY KEY,
  -- SHA-256 of the request: the same key goes with the same request.
  fingerprint bytea NOT NULL,
  -- The attempt that carries the request out, and until when it is taken to be alive.
  holder uuid NOT NULL,
  leased_until timestamptz NOT NULL,
  applied boolean NOT NULL DEFAULT false,
  -- The answer; no status while there is none.
  status smallint,
  headers text,
  body bytea,
  sealed boolean NOT NULL DEFAULT false,
  expires_at timestamptz NOT NULL
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
