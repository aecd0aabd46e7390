-- What credentials are checked against rises by one revision with every change, in the transaction of the change: the row is locked
-- until its end, so that revisions are committed in order, and who has read one has read all before it.
CREATE TABLE credentials_revision (
  single boolean PRIMARY KEY DEFAULT true CHECK (single),
  revision bigint NOT NULL
);
INSERT INTO credentials_revision (revision) VALUES (0);

CREATE TABLE api_keys (
  -- Part of the key, and no secret.
  id text COLLATE "C" PRIMARY KEY,
  -- In the order of creation, for lists.
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  -- SHA-256 over the secret and the id. The secret is 32 random bytes: it cannot be guessed from this, however fast one tries.
  secret_hash text NOT NULL CHECK (secret_hash ~ '^[0-9a-f]{64}$'),
  name text,
  scopes text[] NOT NULL,
  -- Taken away whatever permits it.
  forbid text[] NOT NULL DEFAULT '{}',
  -- NULL is all of them.
  namespaces text[] CHECK (cardinality(namespaces) > 0),
  -- NULL is that of the service.
  rate_limit text,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  expires_at timestamptz,
  -- To the minute.
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoked_by text,
  -- The key that replaces it.
  successor text COLLATE "C",
  -- Of its last change.
  revision bigint NOT NULL
);
CREATE INDEX api_keys_revision ON api_keys (revision);
