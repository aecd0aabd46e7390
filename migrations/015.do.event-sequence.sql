-- How many events there have been about each subject, so that whoever gets two of them in another order, or misses one, sees it.
CREATE TABLE event_subjects (
  subject text PRIMARY KEY,
  sequence bigint NOT NULL,
  at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);
-- Absent from those that were recorded before.
ALTER TABLE events ADD COLUMN sequence bigint;
