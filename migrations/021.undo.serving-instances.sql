ALTER TABLE setting_instances DROP COLUMN serves;
