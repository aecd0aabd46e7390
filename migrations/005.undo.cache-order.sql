DROP FUNCTION cache_changed, cache_begin;
DROP TABLE cache_begun;
