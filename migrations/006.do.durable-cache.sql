-- The durable tier of the strategies write_through and write_behind. Unlike the tables of the database backend this one is logged:
-- what it has committed outlives a crash of the server. A space belongs to one process at a time, which holds every other order
-- there is (invalidations, conditions) itself; all that is asked of this table is that the newest write of a key stays.
CREATE TABLE cache_durable (
  space text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  -- As a JSON string: text refuses NUL and halves of surrogate pairs, JSON escapes them.
  key text COLLATE "C" NOT NULL,
  -- The number of the write. A statement that arrives late, or a journal that is played again, has a lower one and changes nothing.
  seq bigint NOT NULL,
  -- Milliseconds on the service's clock, Infinity is "never".
  gone float8 NOT NULL,
  -- Header, tags and metadata as in services/cache/record.ts, then the value. Without them the row is the tombstone of a key.
  head bytea,
  value bytea,
  PRIMARY KEY (space, namespace, key)
);
-- A value is JSON text of any kind, read far more often than it is written.
ALTER TABLE cache_durable ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX cache_durable_gone ON cache_durable (space, gone);
