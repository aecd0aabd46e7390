-- Settings that change while the service runs. Revisions rise over all keys, so that a process can ask for what is newer than
-- the highest it has seen.
CREATE SEQUENCE settings_revision AS bigint;

CREATE TABLE settings (
  key text PRIMARY KEY,
  value jsonb NOT NULL,
  revision bigint NOT NULL DEFAULT nextval('settings_revision') UNIQUE,
  updated_at timestamptz NOT NULL DEFAULT now()
);

ALTER SEQUENCE settings_revision OWNED BY settings.revision;
