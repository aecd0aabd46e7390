-- Whether a process answers requests, so that the others know of it.
ALTER TABLE setting_instances ADD COLUMN serves boolean NOT NULL DEFAULT false;
