-- The order of changes of a backend whose own server keeps none, such as memcached. Counter, invalidations and announcements are
-- those of 004. A change is noted here before it is made, and goes when it is announced: what stays was begun by somebody who died,
-- or who did not learn how it went. Unlogged like the counter: both are lost together.
CREATE UNLOGGED TABLE cache_begun (
  cache text COLLATE "C" NOT NULL,
  id text COLLATE "C" NOT NULL,
  namespace text COLLATE "C" NOT NULL,
  -- As a JSON string.
  key text COLLATE "C" NOT NULL,
  at float8 NOT NULL,
  PRIMARY KEY (cache, id)
);

CREATE FUNCTION cache_begin (the_cache text, the_id text, the_namespace text, the_key text)
RETURNS TABLE (stamp float8, epoch text, "time" float8) LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
  INSERT INTO cache_begun (cache, id, namespace, key, at) VALUES (the_cache, the_id, the_namespace, the_key, cache_now());
  RETURN QUERY SELECT * FROM cache_pulse(the_cache);
END $$;

CREATE FUNCTION cache_changed (the_cache text, source text, the_id text, the_namespace text, the_key text) RETURNS float8 LANGUAGE plpgsql AS $$
DECLARE
  n bigint;
BEGIN
  PERFORM cache_lock(the_cache);
  DELETE FROM cache_begun WHERE cache = the_cache AND id = the_id;
  n := cache_next(the_cache);
  PERFORM cache_announce(the_cache, source, n, the_namespace, '"k":' || the_key);
  RETURN n::float8;
END $$;
