-- The trace in which an event was recorded, as in the header traceparent. Absent where nothing was traced.
ALTER TABLE events ADD COLUMN traceparent text;
