-- Values of settings for single namespaces of the cache, over those of all. Their revisions are among those of `settings`: whoever
-- has seen one has seen every change before it. Beside that table, so that a release that knows no overrides goes on writing it.
CREATE TABLE setting_overrides (
  key text NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  value jsonb NOT NULL,
  revision bigint NOT NULL DEFAULT nextval('settings_revision') UNIQUE,
  updated_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (key, namespace)
);

-- NULL is a change for all namespaces.
ALTER TABLE settings_history ADD COLUMN namespace text COLLATE "C";
