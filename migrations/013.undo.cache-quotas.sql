DROP TRIGGER cache_entries_inserted ON cache_entries;
DROP TRIGGER cache_entries_deleted ON cache_entries;
DROP TRIGGER cache_entries_updated ON cache_entries;
DROP FUNCTION cache_place, cache_quotas, cache_evict, cache_move, cache_count_own;
DROP INDEX cache_entries_own_victims, cache_entries_victims;
ALTER TABLE cache_entries DROP COLUMN own;
ALTER TABLE cache_counters DROP COLUMN own_items, DROP COLUMN own_bytes, DROP COLUMN reserved_items, DROP COLUMN reserved_bytes;
DROP TABLE cache_pools;
CREATE INDEX cache_entries_victims ON cache_entries (cache, strategy, rank, tie) WHERE version IS NOT NULL;

-- As in 004.
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

CREATE OR REPLACE FUNCTION cache_shrink (the_cache text, source text, max_items bigint, max_bytes bigint) RETURNS text[] LANGUAGE plpgsql AS $$
BEGIN
  PERFORM cache_lock(the_cache);
  RETURN cache_evict(the_cache, source, 'lru', 0, 0, max_items, max_bytes, NULL, NULL, 500);
END $$;

CREATE OR REPLACE FUNCTION cache_write (
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
