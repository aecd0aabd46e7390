DROP TABLE cache_durable;
