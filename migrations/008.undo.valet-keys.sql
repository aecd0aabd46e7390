DROP TABLE valet_tokens;
DROP TABLE valet_signing_keys;
