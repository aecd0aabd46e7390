-- What happened to the sample resources, written in the transaction in which it happened (transactional outbox).
CREATE TABLE events (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL UNIQUE,
  type text NOT NULL,
  subject text NOT NULL,
  -- JSON text: jsonb refuses \u0000 and halves of surrogate pairs.
  data text NOT NULL,
  time timestamptz NOT NULL DEFAULT clock_timestamp(),
  -- Readers go by transaction, not by position: a lower position may become visible after a higher one has been read. Below the oldest
  -- transaction under way nothing can appear any more.
  xid xid8 NOT NULL DEFAULT pg_current_xact_id()
);
CREATE INDEX events_order ON events (xid, position);
CREATE INDEX events_time ON events (time);

-- How far a reader has come.
CREATE TABLE event_readers (
  name text PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT '0',
  position bigint NOT NULL DEFAULT 0,
  -- The event that was begun last and how often: one that ends its process is not begun for ever.
  begun uuid,
  attempts integer NOT NULL DEFAULT 0
);

-- What a consumer has done, written in the transaction of the effect: what comes again has none.
CREATE TABLE event_inbox (
  consumer text NOT NULL,
  event_id uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
  handled_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);
CREATE INDEX event_inbox_event ON event_inbox (event_id);

-- What a consumer could not do: tried again at next_attempt_at; a dead letter when that is null.
CREATE TABLE event_failures (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  consumer text NOT NULL,
  event_id uuid NOT NULL REFERENCES events (id) ON DELETE CASCADE,
  attempts integer NOT NULL,
  error text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  next_attempt_at timestamptz,
  UNIQUE (consumer, event_id)
);
CREATE INDEX event_failures_next ON event_failures (next_attempt_at);
