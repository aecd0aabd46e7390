ALTER TABLE events DROP COLUMN sequence;
DROP TABLE event_subjects;
