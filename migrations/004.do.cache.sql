-- The entries of the cache API's database backend. Nothing here is logged: a server that crashes comes back with empty tables,
-- which is what a cache may do, and a write waits for no disk. The functions answer in one round trip and are one transaction each.
--
-- Every change of a cache locks its row in cache_counters first. So changes come one after the other, in the order of their
-- stamps, their announcements do too, the limits hold at every moment, and no two changes can wait for each other in a circle.
-- Times are milliseconds on this server's clock, Infinity is "never".

CREATE UNLOGGED TABLE cache_counters (
  cache text COLLATE "C" PRIMARY KEY,
  -- The stamp given last, and the one that the counter began at.
  last bigint NOT NULL,
  epoch bigint NOT NULL,
  items bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 10);

-- An entry, or, without a version, the tombstone of one.
CREATE UNLOGGED TABLE cache_entries (
  cache text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  -- As a JSON string: text refuses NUL and halves of surrogate pairs, JSON escapes them.
  key text COLLATE "C" NOT NULL,
  -- The stamp that later writes of the key are held against.
  written bigint NOT NULL,
  gone float8 NOT NULL,
  version float8,
  -- The stamp that invalidations are held against.
  stamp bigint,
  expires float8,
  accessed float8,
  reads bigint,
  uses bigint,
  size bigint NOT NULL DEFAULT 0,
  strategy text COLLATE "C",
  -- What the entry with the lowest rank of its strategy is evicted by, and what decides among equals.
  rank float8,
  tie float8,
  -- Header, tags and metadata as in services/cache/record.ts, then the value.
  head bytea,
  value bytea,
  PRIMARY KEY (cache, namespace, key)
);
-- A value is JSON text of any kind, read far more often than it is written.
ALTER TABLE cache_entries ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE INDEX cache_entries_victims ON cache_entries (cache, strategy, rank, tie) WHERE version IS NOT NULL;
CREATE INDEX cache_entries_gone ON cache_entries (cache, gone);

-- Invalidations in force; what is a JSON array of kind, namespace, name, and whether it is a soft one.
CREATE UNLOGGED TABLE cache_invalidations (
  cache text COLLATE "C" NOT NULL,
  what text COLLATE "C" NOT NULL,
  stamp bigint NOT NULL,
  PRIMARY KEY (cache, what)
);

CREATE FUNCTION cache_now () RETURNS float8 LANGUAGE sql VOLATILE AS $$
  SELECT extract(epoch FROM clock_timestamp())::float8 * 1000
$$;

-- A lost counter starts again at the time in microseconds, far above any stamp given before.
CREATE FUNCTION cache_lock (the_cache text) RETURNS cache_counters LANGUAGE plpgsql AS $$
DECLARE
  counter cache_counters;
  first_stamp bigint;
BEGIN
  SELECT * INTO counter FROM cache_counters WHERE cache = the_cache FOR UPDATE;
  IF NOT FOUND THEN
    first_stamp := floor(cache_now() * 1000);
    INSERT INTO cache_counters (cache, last, epoch) VALUES (the_cache, first_stamp, first_stamp) ON CONFLICT DO NOTHING;
    SELECT * INTO counter FROM cache_counters WHERE cache = the_cache FOR UPDATE;
  END IF;
  RETURN counter;
END $$;

CREATE FUNCTION cache_next (the_cache text) RETURNS bigint LANGUAGE sql AS $$
  UPDATE cache_counters SET last = last + 1 WHERE cache = the_cache RETURNING last
$$;

CREATE FUNCTION cache_pulse (the_cache text) RETURNS TABLE (stamp float8, epoch text, "time" float8) LANGUAGE plpgsql AS $$
DECLARE
  counter cache_counters;
BEGIN
  SELECT * INTO counter FROM cache_counters WHERE cache = the_cache;
  IF NOT FOUND THEN counter := cache_lock(the_cache); END IF;
  RETURN QUERY SELECT counter.last::float8, counter.epoch::text, cache_now();
END $$;

-- Sent at the commit, so in the order of stamps. A payload is limited to 7999 bytes: what is longer is said without the details.
CREATE FUNCTION cache_announce (the_cache text, source text, stamp bigint, the_namespace text, details text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  start text := format('%s {"v":1,"s":%s,"n":%s', stamp, to_json(source), to_json(the_namespace));
  message text := format('%s,%s}', start, details);
BEGIN
  IF source IS NULL THEN RETURN; END IF;
  PERFORM pg_notify('larder_cache_' || the_cache, CASE WHEN octet_length(message) < 8000 THEN message ELSE start || '}' END);
END $$;

CREATE FUNCTION cache_bury (the_cache text, source text, the_namespace text, the_key text, lifetime float8) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  n bigint := cache_next(the_cache);
BEGIN
  UPDATE cache_counters SET items = items - 1, bytes = bytes - entry.size FROM cache_entries AS entry
    WHERE cache_counters.cache = the_cache AND entry.cache = the_cache AND namespace = the_namespace AND key = the_key AND version IS NOT NULL;
  INSERT INTO cache_entries (cache, namespace, key, written, gone) VALUES (the_cache, the_namespace, the_key, n, cache_now() + lifetime)
    ON CONFLICT (cache, namespace, key) DO UPDATE SET written = excluded.written, gone = excluded.gone, version = NULL, stamp = NULL, expires = NULL,
      accessed = NULL, reads = NULL, uses = NULL, size = 0, strategy = NULL, rank = NULL, tie = NULL, head = NULL, value = NULL;
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"k":' || the_key);
  RETURN n;
END $$;

-- Rows that nobody may see any more, a portion of them.
CREATE FUNCTION cache_sweep (the_cache text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  moment float8 := cache_now();
  removed bigint;
BEGIN
  PERFORM cache_lock(the_cache);
  WITH expired AS (
    DELETE FROM cache_entries WHERE ctid = ANY (ARRAY(
      SELECT ctid FROM cache_entries WHERE cache = the_cache AND gone <= moment ORDER BY gone LIMIT 1000
    )) RETURNING version, size
  ), total AS (
    SELECT count(*) AS all_rows, count(version) AS items, coalesce(sum(size), 0) AS bytes FROM expired
  ), counted AS (
    UPDATE cache_counters SET items = cache_counters.items - total.items, bytes = cache_counters.bytes - total.bytes
      FROM total WHERE cache = the_cache AND total.items > 0
  )
  SELECT total.all_rows INTO removed FROM total;
  RETURN removed;
END $$;

-- Makes room for so many more entries and bytes: what is expired goes first, then what its strategy names, that of the newcomer
-- before the others. Answers [namespace, key, stamp] of each that had to go, up to so many; the newcomer's own key is spared.
CREATE FUNCTION cache_evict (
  the_cache text, source text, first_strategy text, more_items bigint, more_bytes bigint, max_items bigint, max_bytes bigint,
  spared_namespace text, spared_key text, at_most integer
) RETURNS text[] LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  counter cache_counters;
  victim record;
  strategies text[] := array_prepend(first_strategy, array_remove(ARRAY['lru', 'fifo', 'ttl', 'lfu'], first_strategy));
  at integer := 1;
  n bigint;
  evicted text[] := '{}';
  swept boolean := false;
BEGIN
  LOOP
    SELECT * INTO counter FROM cache_counters WHERE cache = the_cache;
    EXIT WHEN counter.items + more_items <= max_items AND counter.bytes + more_bytes <= max_bytes;
    EXIT WHEN at > array_length(strategies, 1) OR cardinality(evicted) >= at_most;
    IF NOT swept THEN
      swept := cache_sweep(the_cache) < 1000;
      CONTINUE;
    END IF;
    SELECT namespace, key, size INTO victim FROM cache_entries
      WHERE cache = the_cache AND strategy = strategies[at] AND version IS NOT NULL
        AND (spared_key IS NULL OR (namespace, key) <> (spared_namespace, spared_key))
      ORDER BY rank, tie LIMIT 1;
    IF NOT FOUND THEN
      at := at + 1;
      CONTINUE;
    END IF;
    DELETE FROM cache_entries WHERE cache = the_cache AND namespace = victim.namespace AND key = victim.key;
    UPDATE cache_counters SET last = last + 1, items = items - 1, bytes = bytes - victim.size WHERE cache = the_cache RETURNING last INTO n;
    PERFORM cache_announce(the_cache, source, n, victim.namespace, '"k":' || victim.key);
    evicted := evicted || format('[%s,%s,%s]', to_json(victim.namespace), victim.key, n);
  END LOOP;
  RETURN evicted;
END $$;

-- Shrinks to new limits in portions, until it answers with none.
CREATE FUNCTION cache_shrink (the_cache text, source text, max_items bigint, max_bytes bigint) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
  PERFORM cache_lock(the_cache);
  RETURN cache_evict(the_cache, source, 'lru', 0, 0, max_items, max_bytes, NULL, NULL, 500);
END $$;

CREATE FUNCTION cache_permits (condition text, wanted float8, live boolean, version float8) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT CASE condition WHEN 'absent' THEN NOT live OR version = wanted WHEN 'version' THEN live AND version = wanted ELSE true END
$$;

-- A "set" is true from now on, so invalidations before it do not concern it. What a load brought ("fill"), and what a change of the
-- origin resulted in ("replace"), was true at "since", when that began; it is refused when the key changed since then, or when the
-- counter began later, as nobody knows then. Answers the stamp, or -1 for superseded and -2 for a condition that does not hold.
CREATE FUNCTION cache_write (
  the_cache text, source text, mode text, since bigint, condition text, wanted float8, max_items bigint, max_bytes bigint, lifetime float8,
  the_namespace text, the_key text, new_version float8, new_expires float8, new_gone float8, new_accessed float8, new_reads bigint,
  new_size bigint, new_strategy text, new_head bytea, new_value bytea
) RETURNS TABLE (stamp float8, existed boolean, evicted text[]) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  counter cache_counters := cache_lock(the_cache);
  old record;
  known boolean;
  live boolean;
  counted boolean;
  n bigint;
  new_uses bigint := 1;
  gave_way text[];
BEGIN
  SELECT entry.version, entry.gone, entry.written, entry.size, entry.uses, entry.strategy INTO old FROM cache_entries AS entry
    WHERE cache = the_cache AND namespace = the_namespace AND key = the_key;
  known := FOUND AND old.gone > cache_now();
  live := known AND old.version IS NOT NULL;
  counted := FOUND AND old.version IS NOT NULL;
  IF NOT cache_permits(condition, wanted, live, old.version) THEN
    RETURN QUERY SELECT -2::float8, false, '{}'::text[];
    RETURN;
  END IF;
  IF mode <> 'set' AND (since < counter.epoch OR (known AND old.written > since)) THEN
    IF mode = 'replace' THEN PERFORM cache_bury(the_cache, source, the_namespace, the_key, lifetime); END IF;
    RETURN QUERY SELECT -1::float8, false, '{}'::text[];
    RETURN;
  END IF;
  IF counted AND NOT live THEN
    DELETE FROM cache_entries WHERE cache = the_cache AND namespace = the_namespace AND key = the_key;
    UPDATE cache_counters SET items = items - 1, bytes = bytes - old.size WHERE cache = the_cache;
    counted := false;
  END IF;
  IF counted AND old.strategy = new_strategy THEN new_uses := old.uses + 1; END IF;
  gave_way := cache_evict(the_cache, source, new_strategy, CASE WHEN counted THEN 0 ELSE 1 END, new_size - CASE WHEN counted THEN old.size ELSE 0 END,
    max_items, max_bytes, the_namespace, the_key, 2147483647);
  UPDATE cache_counters SET last = last + 1, items = items + CASE WHEN counted THEN 0 ELSE 1 END,
    bytes = bytes + new_size - CASE WHEN counted THEN old.size ELSE 0 END WHERE cache = the_cache RETURNING last INTO n;
  INSERT INTO cache_entries (cache, namespace, key, written, gone, version, stamp, expires, accessed, reads, uses, size, strategy, rank, tie, head, value)
    VALUES (the_cache, the_namespace, the_key, CASE mode WHEN 'fill' THEN since ELSE n END, new_gone, new_version,
      CASE mode WHEN 'set' THEN n ELSE since END, new_expires, new_accessed, new_reads, new_uses, new_size, new_strategy,
      CASE new_strategy WHEN 'lru' THEN new_accessed WHEN 'lfu' THEN new_uses WHEN 'fifo' THEN n ELSE new_expires END,
      CASE new_strategy WHEN 'lfu' THEN new_accessed ELSE n END, new_head, new_value)
    ON CONFLICT (cache, namespace, key) DO UPDATE SET written = excluded.written, gone = excluded.gone, version = excluded.version,
      stamp = excluded.stamp, expires = excluded.expires, accessed = excluded.accessed, reads = excluded.reads, uses = excluded.uses,
      size = excluded.size, strategy = excluded.strategy, rank = excluded.rank, tie = excluded.tie, head = excluded.head, value = excluded.value;
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"k":' || the_key);
  RETURN QUERY SELECT n::float8, live, gave_way;
END $$;

CREATE FUNCTION cache_delete (the_cache text, source text, the_namespace text, the_key text, condition text, wanted float8, lifetime float8)
RETURNS TABLE (stamp float8, existed boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  old record;
  live boolean;
BEGIN
  PERFORM cache_lock(the_cache);
  SELECT entry.version, entry.gone INTO old FROM cache_entries AS entry WHERE cache = the_cache AND namespace = the_namespace AND key = the_key;
  live := FOUND AND old.version IS NOT NULL AND old.gone > cache_now();
  IF NOT cache_permits(condition, wanted, live, old.version) THEN
    RETURN QUERY SELECT -2::float8, false;
  ELSE
    RETURN QUERY SELECT cache_bury(the_cache, source, the_namespace, the_key, lifetime)::float8, live;
  END IF;
END $$;

CREATE FUNCTION cache_expire (the_cache text, source text, the_namespace text, the_key text, the_version float8, new_expires float8, new_gone float8)
RETURNS TABLE (stamp float8, existed boolean) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  n bigint;
BEGIN
  PERFORM cache_lock(the_cache);
  UPDATE cache_entries SET expires = new_expires, gone = new_gone, rank = CASE strategy WHEN 'ttl' THEN new_expires ELSE rank END
    WHERE cache = the_cache AND namespace = the_namespace AND key = the_key AND version = the_version AND gone > cache_now();
  IF NOT FOUND THEN
    RETURN QUERY SELECT -2::float8, false;
    RETURN;
  END IF;
  n := cache_next(the_cache);
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"k":' || the_key);
  RETURN QUERY SELECT n::float8, true;
END $$;

CREATE FUNCTION cache_invalidate (the_cache text, source text, the_namespace text, announcement text, things text[]) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  PERFORM cache_lock(the_cache);
  n := cache_next(the_cache);
  INSERT INTO cache_invalidations (cache, what, stamp) SELECT the_cache, thing, n FROM unnest(things) AS thing
    ON CONFLICT (cache, what) DO UPDATE SET stamp = excluded.stamp;
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"i":' || announcement);
  RETURN n::float8;
END $$;

-- Key by key, as the next one: a join over tables without statistics may read all of a namespace.
CREATE FUNCTION cache_discard (the_cache text, the_namespace text, keys text[], versions float8[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
  fallen_size bigint;
  removed integer := 0;
  freed bigint := 0;
BEGIN
  PERFORM cache_lock(the_cache);
  FOR at IN 1 .. cardinality(keys) LOOP
    DELETE FROM cache_entries WHERE cache = the_cache AND namespace = the_namespace AND key = keys[at] AND version = versions[at]
      RETURNING size INTO fallen_size;
    IF FOUND THEN
      removed := removed + 1;
      freed := freed + fallen_size;
    END IF;
  END LOOP;
  UPDATE cache_counters SET items = items - removed, bytes = bytes - freed WHERE cache = the_cache;
  RETURN removed;
END $$;

CREATE FUNCTION cache_note_reads (the_cache text, namespaces text[], keys text[], versions float8[], counts bigint[], times float8[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM cache_lock(the_cache);
  FOR at IN 1 .. cardinality(keys) LOOP
    UPDATE cache_entries SET
      accessed = greatest(accessed, times[at]), reads = reads + counts[at], uses = uses + counts[at],
      rank = CASE strategy WHEN 'lru' THEN greatest(accessed, times[at]) WHEN 'lfu' THEN uses + counts[at] ELSE rank END,
      tie = CASE strategy WHEN 'lfu' THEN greatest(accessed, times[at]) ELSE tie END
      WHERE cache = the_cache AND namespace = namespaces[at] AND key = keys[at] AND version = versions[at];
  END LOOP;
END $$;
