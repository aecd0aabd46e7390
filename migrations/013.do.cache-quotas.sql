-- Quotas of namespaces. What is reserved for one is kept apart from what is left for all others: its entries are its own, are counted
-- in its pool, and give way to each other alone. Pools are unlogged like the entries: the services set them again.
CREATE UNLOGGED TABLE cache_pools (
  cache text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  max_items bigint NOT NULL,
  max_bytes bigint NOT NULL,
  items bigint NOT NULL DEFAULT 0,
  bytes bigint NOT NULL DEFAULT 0,
  -- placing: entries from before the quota are being made its own, by key; placed; leaving: the quota is no more, and they are being
  -- made those of all. Whatever is not its own, or leaving, counts with the rest.
  state text NOT NULL DEFAULT 'placing',
  reached text COLLATE "C" NOT NULL DEFAULT '',
  PRIMARY KEY (cache, namespace)
) WITH (fillfactor = 10);

-- What the pools hold and reserve, those that are leaving left out.
ALTER TABLE cache_counters
  ADD COLUMN own_items bigint NOT NULL DEFAULT 0, ADD COLUMN own_bytes bigint NOT NULL DEFAULT 0,
  ADD COLUMN reserved_items bigint NOT NULL DEFAULT 0, ADD COLUMN reserved_bytes bigint NOT NULL DEFAULT 0;

ALTER TABLE cache_entries ADD COLUMN own boolean NOT NULL DEFAULT false;
DROP INDEX cache_entries_victims;
CREATE INDEX cache_entries_victims ON cache_entries (cache, strategy, rank, tie) WHERE version IS NOT NULL AND NOT own;
CREATE INDEX cache_entries_own_victims ON cache_entries (cache, namespace, strategy, rank, tie) WHERE version IS NOT NULL AND own;

CREATE FUNCTION cache_count_own () RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
  concerned cache_entries;
  pool_state text;
  more_items bigint := 0;
  more_bytes bigint := 0;
BEGIN
  IF TG_OP <> 'INSERT' THEN
    concerned := OLD;
    IF OLD.own AND OLD.version IS NOT NULL THEN
      more_items := -1;
      more_bytes := -OLD.size;
    END IF;
  END IF;
  IF TG_OP <> 'DELETE' THEN
    concerned := NEW;
    IF NEW.own AND NEW.version IS NOT NULL THEN
      more_items := more_items + 1;
      more_bytes := more_bytes + NEW.size;
    END IF;
  END IF;
  UPDATE cache_pools SET items = items + more_items, bytes = bytes + more_bytes
    WHERE cache = concerned.cache AND namespace = concerned.namespace RETURNING state INTO pool_state;
  IF pool_state <> 'leaving' THEN
    UPDATE cache_counters SET own_items = own_items + more_items, own_bytes = own_bytes + more_bytes WHERE cache = concerned.cache;
  END IF;
  RETURN NULL;
END $$;

-- Entries of namespaces without a quota, which are most, do not come here.
CREATE TRIGGER cache_entries_inserted AFTER INSERT ON cache_entries FOR EACH ROW WHEN (NEW.own) EXECUTE FUNCTION cache_count_own();
CREATE TRIGGER cache_entries_deleted AFTER DELETE ON cache_entries FOR EACH ROW WHEN (OLD.own) EXECUTE FUNCTION cache_count_own();
CREATE TRIGGER cache_entries_updated AFTER UPDATE OF version, size, own ON cache_entries FOR EACH ROW WHEN (OLD.own OR NEW.own)
  EXECUTE FUNCTION cache_count_own();

-- Brings a portion of a namespace's entries to where they belong.
CREATE FUNCTION cache_move (the_cache text, the_namespace text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  pool cache_pools;
  keys text[];
BEGIN
  SELECT * INTO pool FROM cache_pools WHERE cache = the_cache AND namespace = the_namespace;
  keys := ARRAY(SELECT key FROM cache_entries WHERE cache = the_cache AND namespace = the_namespace AND key > pool.reached ORDER BY key LIMIT 1000);
  IF cardinality(keys) > 0 THEN
    UPDATE cache_entries SET own = (pool.state = 'placing')
      WHERE cache = the_cache AND namespace = the_namespace AND key > pool.reached AND key <= keys[cardinality(keys)] AND own <> (pool.state = 'placing');
  END IF;
  IF cardinality(keys) = 1000 THEN
    UPDATE cache_pools SET reached = keys[1000] WHERE cache = the_cache AND namespace = the_namespace;
  ELSIF pool.state = 'placing' THEN
    UPDATE cache_pools SET state = 'placed' WHERE cache = the_cache AND namespace = the_namespace;
  ELSE
    DELETE FROM cache_pools WHERE cache = the_cache AND namespace = the_namespace;
  END IF;
END $$;

-- Sets the quotas, all there are; cache_place does what follows from it.
CREATE FUNCTION cache_quotas (the_cache text, namespaces text[], most_items bigint[], most_bytes bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
  PERFORM cache_lock(the_cache);
  UPDATE cache_pools SET state = 'leaving', reached = '' WHERE cache = the_cache AND state <> 'leaving' AND namespace <> ALL (namespaces);
  INSERT INTO cache_pools (cache, namespace, max_items, max_bytes)
    SELECT the_cache, name, items, bytes FROM unnest(namespaces, most_items, most_bytes) AS given (name, items, bytes)
    ON CONFLICT (cache, namespace) DO UPDATE SET max_items = excluded.max_items, max_bytes = excluded.max_bytes,
      state = CASE cache_pools.state WHEN 'leaving' THEN 'placing' ELSE cache_pools.state END,
      reached = CASE cache_pools.state WHEN 'leaving' THEN '' ELSE cache_pools.reached END;
  UPDATE cache_counters SET (own_items, own_bytes, reserved_items, reserved_bytes) = (
    SELECT coalesce(sum(items), 0), coalesce(sum(bytes), 0), coalesce(sum(max_items), 0), coalesce(sum(max_bytes), 0)
    FROM cache_pools WHERE cache = the_cache AND state <> 'leaving'
  ) WHERE cache = the_cache;
END $$;

DROP FUNCTION cache_evict;
-- As before, within one pool: the namespace's own, or, without a name, that of all namespaces that have none.
CREATE FUNCTION cache_evict (
  the_cache text, source text, pool text, first_strategy text, more_items bigint, more_bytes bigint, max_items bigint, max_bytes bigint,
  spared_namespace text, spared_key text, at_most integer
) RETURNS text[] LANGUAGE plpgsql SET enable_seqscan = off SET enable_bitmapscan = off SET enable_sort = off AS $$
DECLARE
  held record;
  victim record;
  strategies text[] := array_prepend(first_strategy, array_remove(ARRAY['lru', 'fifo', 'ttl', 'lfu'], first_strategy));
  at integer := 1;
  n bigint;
  evicted text[] := '{}';
  swept boolean := false;
  left_behind text;
BEGIN
  LOOP
    IF pool IS NULL THEN SELECT items - own_items AS items, bytes - own_bytes AS bytes INTO held FROM cache_counters WHERE cache = the_cache;
    ELSE SELECT items, bytes INTO held FROM cache_pools WHERE cache = the_cache AND namespace = pool;
    END IF;
    EXIT WHEN held.items + more_items <= max_items AND held.bytes + more_bytes <= max_bytes;
    EXIT WHEN cardinality(evicted) >= at_most;
    IF at > array_length(strategies, 1) THEN
      -- A quota that is no more may still have what belongs to all.
      SELECT namespace INTO left_behind FROM cache_pools WHERE cache = the_cache AND state = 'leaving' AND pool IS NULL LIMIT 1;
      EXIT WHEN left_behind IS NULL;
      PERFORM cache_move(the_cache, left_behind);
      at := 1;
    END IF;
    IF NOT swept THEN
      swept := cache_sweep(the_cache) < 1000;
      CONTINUE;
    END IF;
    IF pool IS NULL THEN
      SELECT namespace, key, size INTO victim FROM cache_entries
        WHERE cache = the_cache AND strategy = strategies[at] AND version IS NOT NULL AND NOT own
          AND (spared_key IS NULL OR (namespace, key) <> (spared_namespace, spared_key))
        ORDER BY rank, tie LIMIT 1;
    ELSE
      SELECT namespace, key, size INTO victim FROM cache_entries
        WHERE cache = the_cache AND namespace = pool AND strategy = strategies[at] AND version IS NOT NULL AND own
          AND (spared_key IS NULL OR key <> spared_key)
        ORDER BY rank, tie LIMIT 1;
    END IF;
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

-- A step towards what the quotas say, until it answers that there is no more to do.
CREATE FUNCTION cache_place (the_cache text, source text) RETURNS TABLE (more boolean, evicted text[]) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  pool cache_pools;
BEGIN
  PERFORM cache_lock(the_cache);
  SELECT * INTO pool FROM cache_pools WHERE cache = the_cache AND state <> 'placed' LIMIT 1;
  IF NOT FOUND THEN
    RETURN QUERY SELECT false, '{}'::text[];
    RETURN;
  END IF;
  PERFORM cache_move(the_cache, pool.namespace);
  RETURN QUERY SELECT true, CASE pool.state WHEN 'placing'
    THEN cache_evict(the_cache, source, pool.namespace, 'lru', 0, 0, pool.max_items, pool.max_bytes, NULL, NULL, 2147483647) ELSE '{}'::text[] END;
END $$;

-- Shrinks each pool to its limits in portions, until it answers with none.
CREATE OR REPLACE FUNCTION cache_shrink (the_cache text, source text, max_items bigint, max_bytes bigint) RETURNS text[] LANGUAGE plpgsql AS $$
DECLARE
  counter cache_counters := cache_lock(the_cache);
  pool record;
  evicted text[];
BEGIN
  evicted := cache_evict(the_cache, source, NULL, 'lru', 0, 0, max_items - counter.reserved_items, max_bytes - counter.reserved_bytes, NULL, NULL, 500);
  FOR pool IN SELECT * FROM cache_pools WHERE cache = the_cache AND state <> 'leaving' AND (items > cache_pools.max_items OR bytes > cache_pools.max_bytes) LOOP
    EXIT WHEN cardinality(evicted) >= 500;
    evicted := evicted || cache_evict(the_cache, source, pool.namespace, 'lru', 0, 0, pool.max_items, pool.max_bytes, NULL, NULL, 500 - cardinality(evicted));
  END LOOP;
  RETURN evicted;
END $$;

-- As before, within the pool of its namespace. Answers -3 for what is larger than that, with the limit in place of who went, and -4 where
-- everything is reserved for others.
CREATE OR REPLACE FUNCTION cache_write (
  the_cache text, source text, mode text, since bigint, condition text, wanted float8, max_items bigint, max_bytes bigint, lifetime float8,
  the_namespace text, the_key text, new_version float8, new_expires float8, new_gone float8, new_accessed float8, new_reads bigint,
  new_size bigint, new_strategy text, new_head bytea, new_value bytea
) RETURNS TABLE (stamp float8, existed boolean, evicted text[]) LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  counter cache_counters := cache_lock(the_cache);
  pool cache_pools;
  is_own boolean;
  in_pool boolean;
  old record;
  known boolean;
  live boolean;
  counted boolean;
  n bigint;
  new_uses bigint := 1;
  gave_way text[];
BEGIN
  SELECT entry.version, entry.gone, entry.written, entry.size, entry.uses, entry.strategy, entry.own INTO old FROM cache_entries AS entry
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
  SELECT * INTO pool FROM cache_pools AS known_pool WHERE known_pool.cache = the_cache AND known_pool.namespace = the_namespace AND state <> 'leaving';
  is_own := FOUND;
  IF is_own THEN
    max_items := pool.max_items;
    max_bytes := pool.max_bytes;
  ELSE
    max_items := max_items - counter.reserved_items;
    max_bytes := max_bytes - counter.reserved_bytes;
  END IF;
  IF new_size > max_bytes THEN
    RETURN QUERY SELECT -3::float8, false, ARRAY[max_bytes::text];
    RETURN;
  END IF;
  IF max_items < 1 THEN
    RETURN QUERY SELECT -4::float8, false, '{}'::text[];
    RETURN;
  END IF;
  IF counted AND NOT live THEN
    DELETE FROM cache_entries WHERE cache = the_cache AND namespace = the_namespace AND key = the_key;
    UPDATE cache_counters SET items = items - 1, bytes = bytes - old.size WHERE cache = the_cache;
    counted := false;
  END IF;
  IF counted AND old.strategy = new_strategy THEN new_uses := old.uses + 1; END IF;
  -- What a quota is yet to take in, or has left behind, counts with those that have none.
  in_pool := counted AND (old.own OR NOT is_own);
  gave_way := cache_evict(the_cache, source, CASE WHEN is_own THEN the_namespace END, new_strategy, CASE WHEN in_pool THEN 0 ELSE 1 END,
    new_size - CASE WHEN in_pool THEN old.size ELSE 0 END, max_items, max_bytes, the_namespace, the_key, 2147483647);
  UPDATE cache_counters SET last = last + 1, items = items + CASE WHEN counted THEN 0 ELSE 1 END,
    bytes = bytes + new_size - CASE WHEN counted THEN old.size ELSE 0 END WHERE cache = the_cache RETURNING last INTO n;
  INSERT INTO cache_entries (cache, namespace, key, written, gone, version, stamp, expires, accessed, reads, uses, size, strategy, rank, tie, head, value, own)
    VALUES (the_cache, the_namespace, the_key, CASE mode WHEN 'fill' THEN since ELSE n END, new_gone, new_version,
      CASE mode WHEN 'set' THEN n ELSE since END, new_expires, new_accessed, new_reads, new_uses, new_size, new_strategy,
      CASE new_strategy WHEN 'lru' THEN new_accessed WHEN 'lfu' THEN new_uses WHEN 'fifo' THEN n ELSE new_expires END,
      CASE new_strategy WHEN 'lfu' THEN new_accessed ELSE n END, new_head, new_value, is_own)
    ON CONFLICT (cache, namespace, key) DO UPDATE SET written = excluded.written, gone = excluded.gone, version = excluded.version,
      stamp = excluded.stamp, expires = excluded.expires, accessed = excluded.accessed, reads = excluded.reads, uses = excluded.uses,
      size = excluded.size, strategy = excluded.strategy, rank = excluded.rank, tie = excluded.tie, head = excluded.head, value = excluded.value,
      own = excluded.own;
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"k":' || the_key);
  RETURN QUERY SELECT n::float8, live, gave_way;
END $$;
