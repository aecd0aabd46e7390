-- The keys that valet keys are signed with. One of an algorithm signs; those before it verify until the last valet key under them has
-- expired.
CREATE TABLE valet_signing_keys (
  kid text COLLATE "C" PRIMARY KEY,
  -- In the order of creation: the newest signs.
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  algorithm text NOT NULL CHECK (algorithm IN ('HS256', 'EdDSA')),
  -- The secret, or the private key, sealed under SECRET_KEY. What is public is derived from it.
  sealed bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  created_by text NOT NULL,
  -- NULL while it signs.
  verifies_until timestamptz,
  retired_at timestamptz,
  -- Of its last change, see credentials_revision.
  revision bigint NOT NULL
);
CREATE INDEX valet_signing_keys_revision ON valet_signing_keys (revision);

-- Valet keys that were issued; the tokens themselves are nowhere.
CREATE TABLE valet_tokens (
  id text COLLATE "C" PRIMARY KEY,
  -- In the order of issue, for lists.
  position bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
  kid text COLLATE "C" NOT NULL,
  issuer text NOT NULL,
  -- The valet keys that it came from, the first one first, itself last.
  lineage text[] NOT NULL,
  scopes text[] NOT NULL,
  -- NULL is all of them, or no limit, from here on.
  namespaces text[],
  resources text[],
  addresses text[],
  max_bytes bigint,
  max_uses integer CHECK (max_uses > 0),
  uses integer NOT NULL DEFAULT 0,
  policy text,
  description text,
  issued_at timestamptz NOT NULL,
  not_before timestamptz,
  expires_at timestamptz NOT NULL,
  revoked_at timestamptz,
  revoked_by text,
  -- Of its revocation, see credentials_revision.
  revision bigint
);
CREATE INDEX valet_tokens_revision ON valet_tokens (revision) WHERE revision IS NOT NULL;
CREATE INDEX valet_tokens_expires_at ON valet_tokens (expires_at);
CREATE INDEX valet_tokens_issuer ON valet_tokens (issuer, position);
CREATE INDEX valet_tokens_policy ON valet_tokens (policy, position) WHERE policy IS NOT NULL;
CREATE INDEX valet_tokens_lineage ON valet_tokens USING gin (lineage) WHERE cardinality(lineage) > 1;
