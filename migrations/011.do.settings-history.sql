-- Every change of a setting, with who made it. A value of NULL is a setting that was taken out of the store; JSON's null is a value.
CREATE TABLE settings_history (
  revision bigint PRIMARY KEY,
  key text NOT NULL,
  value jsonb,
  action text NOT NULL CHECK (action IN ('set', 'deleted', 'rolled_back')),
  changed_at timestamptz NOT NULL DEFAULT now(),
  changed_by text NOT NULL
);
CREATE INDEX settings_history_key ON settings_history (key, revision DESC);

-- What was stored before there was a history.
INSERT INTO settings_history (revision, key, value, action, changed_at, changed_by)
SELECT revision, key, value, 'set', updated_at, '' FROM settings;
