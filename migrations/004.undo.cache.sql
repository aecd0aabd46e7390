DROP FUNCTION cache_note_reads, cache_discard, cache_invalidate, cache_expire, cache_delete, cache_write, cache_permits, cache_shrink,
  cache_evict, cache_sweep, cache_bury, cache_announce, cache_pulse, cache_next, cache_lock, cache_now;
DROP TABLE cache_invalidations, cache_entries, cache_counters;
