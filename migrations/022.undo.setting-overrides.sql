DELETE FROM settings_history WHERE namespace IS NOT NULL;
ALTER TABLE settings_history DROP COLUMN namespace;
DROP TABLE setting_overrides;
