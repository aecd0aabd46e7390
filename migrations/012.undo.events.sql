DROP TABLE event_failures;
DROP TABLE event_inbox;
DROP TABLE event_readers;
DROP TABLE events;
