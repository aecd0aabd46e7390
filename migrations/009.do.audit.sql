-- What administrators did, who was turned away, and what valet keys were used for. Never a credential, and of a key of the cache its digest.
CREATE TABLE audit_log (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  -- Made by the process that saw it: one that is sent again is kept once.
  event uuid NOT NULL UNIQUE,
  at timestamptz NOT NULL,
  -- The last, where several that are alike are one row.
  until timestamptz NOT NULL,
  count bigint NOT NULL CHECK (count > 0),
  principal text NOT NULL,
  kind text NOT NULL,
  action text NOT NULL,
  scope text NOT NULL,
  resource text,
  key_hash text CHECK (key_hash ~ '^[0-9a-f]{64}$'),
  namespace text,
  address text,
  outcome text NOT NULL CHECK (outcome IN ('success', 'denied', 'failure')),
  status integer,
  request_id text,
  reason text
);
CREATE INDEX audit_log_at ON audit_log (at);
CREATE INDEX audit_log_principal ON audit_log (principal, id);
CREATE INDEX audit_log_resource ON audit_log (resource, id);
